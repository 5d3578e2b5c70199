"""A learning curve over clips: the winner trained on parts of the training clips, at equal visits.

It says whether more clips would help, by whether half of them did worse.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from expand3d.core.errors import StudyError
from expand3d.core.result import Training, TrainingKey
from expand3d.core.trial import PARENT, SCRATCH, Candidate, Trial
from expand3d.data.frames import generator
from expand3d.data.store import ClipStore
from expand3d.execute.base import Assignment
from expand3d.execute.evaluate import Bench, Job
from expand3d.run.events import Watch
from expand3d.run.runner import Outcome, Part, executor, reopened
from expand3d.search.strategy import Done
from expand3d.study.catalog import FINISHED
from expand3d.study.trained import LEARNING

#: Shares of the training clips; each part holds the smaller ones.
SHARES = (0.25, 0.5, 1.0)


def learn_curve(
    name: str,
    *,
    root: str | Path = "studies",
    storage: str | None = None,
    changes: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train the winner on parts of the training clips; what is in the record is not repeated.

    StudyError where the study is not finished.
    """
    watch = watch or Watch()
    where: Mapping[str, Any] = {"root": root, "storage": storage, "changes": changes}
    with reopened(name, **where, watch=watch) as (record, ready), executor(ready) as workers:
        return _Learning(record, ready, workers, watch, stop).go()


def part_of(job: Job, store: ClipStore, share: float) -> Job:
    """The job with so large a share of each class's training clips, at least one."""
    lots = generator("learning curve", job.seed).permutation(len(job.train))
    by_class: dict[int, list[int]] = {}
    for place in lots:
        clip = job.train[place]
        by_class.setdefault(store.labels[clip], []).append(clip)
    chosen = [c for clips in by_class.values() for c in clips[: math.ceil(share * len(clips))]]
    return dataclasses.replace(job, train=tuple(sorted(chosen)))


def on_part(bench: Bench, share: float) -> Bench:
    """The bench with part of the training clips, which are visited as often in all."""
    jobs = tuple(part_of(job, bench.store, share) for job in bench.jobs)
    visits = bench.recipe.visits_for(len(bench.jobs[0].train))
    recipe = dataclasses.replace(bench.recipe, clip_visits=visits, epochs=None)
    return dataclasses.replace(bench, jobs=jobs, recipe=recipe)


class _Learning(Part):
    """The winner on each part of the clips."""

    part = "learning curve"

    def counts(self, trial: Trial) -> bool:
        return False

    def work(self) -> str:
        trials = self.record.trials()
        best = self.ready.strategy.result(trials)
        if best is None or not isinstance(self.ready.strategy.ask(trials), Done):
            raise StudyError(
                f"study {self.record.name!r} is not finished; a learning curve is of its winner"
            )
        kept = self.record.attribute(LEARNING) or {}
        if kept.get("trial") != best.number:
            kept = {"trial": best.number, "shares": {}}
        # A parent's weights have seen all clips: without them, so that parts are parts.
        begins = SCRATCH if self.ready.config.init == PARENT else best.candidate.start
        candidate = dataclasses.replace(best.candidate, start=begins)
        for share in SHARES:
            bench = on_part(self.bench(candidate.plan), share)
            row = kept["shares"].setdefault(str(share), {"trainings": {}})
            row["clips"] = len(bench.jobs[0].train)
            keeper = _Keeper(self, kept, row["trainings"])
            self.executor.run(
                iter([(self._assignment(candidate, bench, row), bench)]), keeper, self.stop
            )
            if keeper.failure:
                raise StudyError(f"{share:.0%} of the clips: {keeper.failure}")
            self.watch.note(f"{share:.0%} of the training clips ({row['clips']}) trained")
        return FINISHED

    def _assignment(self, candidate: Candidate, bench: Bench, row: Mapping[str, Any]) -> Assignment:
        done = {TrainingKey.parse(k): Training.from_json(v) for k, v in row["trainings"].items()}
        return Assignment(
            None,
            candidate,
            done=done,
            checkpoints=self.record.folder.checkpoints.resolve(),
            identity=bench.identity(candidate.plan, candidate.start),
        )


class _Keeper:
    """Keeps each training in the record as it ends."""

    def __init__(self, part: Part, kept: dict[str, Any], trainings: dict[str, Any]) -> None:
        self._part, self._kept, self._trainings = part, kept, trainings
        self.failure: str | None = None

    def note(self, text: str) -> None:
        self._part.watch.note(text)

    def progress(self, assignment: Assignment, progress: Any) -> None:
        self._part.watch.training(None, progress)

    def trained(self, assignment: Assignment, key: TrainingKey, training: Training) -> None:
        from expand3d.training.checkpoint import discard

        if training.status != "ok":
            self.failure = f"{training.status}: {training.reason}"
            return
        self._trainings[str(key)] = training.to_json()
        self._part.record.set_attribute(LEARNING, self._kept)
        discard(assignment.checkpoint(key))

    def ended(self, assignment: Assignment, failure: str | None) -> None:
        self.failure = self.failure or failure
