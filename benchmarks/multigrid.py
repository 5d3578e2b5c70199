"""Are smaller clips first (`multigrid`) as good as whole ones, and better than a shorter training?

    python benchmarks/multigrid.py [--seeds 3] [--threads 1] [--csv FILE]

One network (X3D, 4 x 12 frames at 112 pixels, 78 MMACs) is trained on the bundled clips by the
quick profile, once per seed in five ways: on whole clips, on smaller clips first by either
schedule, and on whole clips for as many visits as cost no less than each of these ("shorter"). All
see the same clips in the same order from the same initial weights. Prints every training, and the
paired differences on the validation clips with their 95% intervals over the seeds.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import math
import statistics
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from expand3d.execute.evaluate import Bench, make_jobs, train_once
from expand3d.networks import get_family
from expand3d.run.events import Watch
from expand3d.run.prepare import Prepared, prepare
from expand3d.study.config import NamedConfig

FIRST_SEED = 0
WAYS = ("off", "long", "shorter long", "sides", "shorter sides")
FACTORS = {"gamma_t": 4, "gamma_tau": 12}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, help="also write the table here")
    options = parser.parse_args()
    config = NamedConfig(budget="0.1G", name="multigrid", threads=options.threads)
    ready = prepare(config, Watch())
    rows = []
    for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
        for way in WAYS:
            rows.append({"seed": seed, "way": way, **train(ready, seed, way)})
            print(rows[-1], flush=True)
    for what in ("top1", "nll"):
        for kind in ("long", "sides"):
            print(difference(rows, what, kind, "off"))
            print(difference(rows, what, kind, f"shorter {kind}"))
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def train(ready: Prepared, seed: int, way: str) -> dict[str, Any]:
    """Visits, training MACs, seconds, accuracy and log-loss of one training."""
    family = get_family("x3d")
    plan = family.resolve(family.base.replace(**FACTORS), num_classes=12)
    *shorter, kind = way.split()
    bench = _bench(ready, seed, multigrid=kind)
    if shorter:
        whole = _bench(ready, seed)
        share = bench.training_macs(plan) / whole.training_macs(plan)
        bench = _bench(ready, seed, clip_visits=math.ceil(share * whole.visits))
    checkpoint = Path("studies/multigrid.checkpoint")
    training = train_once(
        plan,
        bench,
        bench.jobs[0],
        checkpoint=checkpoint,
        stop=lambda: False,
        on_progress=lambda *_: None,
    )
    checkpoint.unlink(missing_ok=True)
    assert training.means is not None, training.reason
    score = training.means
    return {
        "visits": training.clip_visits,
        "training_tmacs": round(training.training_macs / 1e12, 4),
        "seconds": round(training.seconds - training.test_seconds, 1),
        "top1": round(score.top1, 4),
        "nll": round(score.nll, 4),
    }


def _bench(ready: Prepared, seed: int, **changes: Any) -> Bench:
    job = ready.bench.jobs[0]
    jobs = make_jobs(train=job.train, val=job.held_out, folds=(), repeats=1, seed=seed)
    recipe = dataclasses.replace(ready.bench.recipe, **changes)
    return dataclasses.replace(ready.bench, jobs=jobs, recipe=recipe)


def difference(rows: list[dict[str, Any]], what: str, one: str, other: str) -> str:
    """Mean of one way's minus another's over the seeds, with Student's 95% interval."""
    ours, others = ([row[what] for row in rows if row["way"] == way] for way in (one, other))
    each = [a - b for a, b in zip(ours, others, strict=True)]
    mean, half = statistics.mean(each), math.inf
    if len(each) > 1:
        half = student.ppf(0.975, len(each) - 1) * statistics.stdev(each) / math.sqrt(len(each))
    within = f"95% {mean - half:+.4f} to {mean + half:+.4f}"
    return f"{what}, {one} - {other}: {mean:+.4f} ({within})"


if __name__ == "__main__":
    main()
