"""The common part of benchmarks of proxy trainings: one training, pairs over seeds, a table."""

from __future__ import annotations

import csv
import dataclasses
import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from expand3d.core.genotype import Plan
from expand3d.core.result import Training
from expand3d.execute.evaluate import Bench, make_jobs, train_once
from expand3d.networks import get_family
from expand3d.run.clips import ClipsOf
from expand3d.run.events import Watch
from expand3d.run.prepare import Prepared


def x3d(**factors: float) -> Plan:
    """The base of X3D with other factors, for the twelve classes of the bundled clips."""
    family = get_family("x3d")
    return family.resolve(family.base.replace(**factors), num_classes=12)


def bench_of(ready: Prepared, plan: Plan, seed: int, **recipe: Any) -> Bench:
    """A bench of one training with this seed, with the clips that the network reads."""
    job = ready.bench.jobs[0]
    jobs = make_jobs(train=job.train, val=job.held_out, folds=(), repeats=1, seed=seed)
    changed = dataclasses.replace(ready.bench.recipe, **recipe)
    bench = dataclasses.replace(ready.bench, jobs=jobs, recipe=changed)
    return ClipsOf(ready, Watch()).bench(plan, bench)


def trained(plan: Plan, bench: Bench, *, weights_out: Path | None = None) -> Training:
    """The training of the bench's only job, from its beginning to its test."""
    with tempfile.TemporaryDirectory() as folder:
        training = train_once(
            plan,
            bench,
            bench.jobs[0],
            checkpoint=Path(folder) / "checkpoint.pt",
            stop=lambda: False,
            on_progress=lambda *_: None,
            weights_out=weights_out,
        )
    assert training.means is not None, training.reason
    return training


def scores_of(training: Training) -> dict[str, float]:
    """Accuracy and log-loss on the held-out clips, rounded for a table."""
    assert training.means is not None
    return {"top1": round(training.means.top1, 4), "nll": round(training.means.nll, 4)}


def own_seconds(training: Training) -> float:
    """Seconds of the training without its test."""
    return training.seconds - training.test_seconds


def difference(
    rows: Sequence[Mapping[str, Any]], what: str, *, column: str, one: str, other: str
) -> str:
    """The mean of `one` less `other` (values of `column`) over the seeds, with Student's 95%."""
    ours, others = ([row[what] for row in rows if row[column] == name] for name in (one, other))
    each = [a - b for a, b in zip(ours, others, strict=True)]
    mean, half = statistics.mean(each), math.inf
    if len(each) > 1:
        half = student.ppf(0.975, len(each) - 1) * statistics.stdev(each) / math.sqrt(len(each))
    within = f"95% {mean - half:+.4f} to {mean + half:+.4f}"
    return f"{what}, {one} - {other}: {mean:+.4f} ({within})"


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table with a column for each key of the rows, which all have the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
