"""Scores without training of the networks of a table, on the clips that trained them."""

from __future__ import annotations

from collections.abc import Mapping

from expand3d.run.clips import ClipsOf
from expand3d.run.events import Watch
from expand3d.run.runner import prepared_again
from expand3d.study.record import Record

#: Batches of a score; ZiCo compares gradients between them.
BATCHES = 2


def score_untrained(
    record: Record, *, watch: Watch | None = None
) -> Mapping[str, Mapping[str, float]]:
    """The scores of each network of the record by the digest of its plan, in order of trials.

    Weights and views are those with which its first training begins.
    """
    from expand3d.measure.untrained import untrained_scores
    from expand3d.training.batches import train_batch

    watch = watch or Watch()
    _, ready = prepared_again(record, record.config(), watch)
    clips = ClipsOf(ready, watch)
    plans = {t.candidate.plan.digest: t.candidate.plan for t in record.trials() if t.trainings}
    found = {}
    for number, (digest, plan) in enumerate(plans.items(), start=1):
        bench = clips.bench(plan)
        job, recipe = bench.jobs[0], bench.recipe
        batches = [
            train_batch(
                bench.store,
                job.train,
                plan=plan,
                recipe=recipe,
                seed=job.seed,
                start=place * recipe.bn_batch,
                count=recipe.bn_batch,
            )
            for place in range(BATCHES)
        ]
        found[digest] = untrained_scores(plan, batches, recipe=recipe, seed=job.seed)
        watch.note(f"scored without training: {number} of {len(plans)}")
    return found
