"""Do proxy trainings on the fast CPU path reach the accuracy of torch's own operators?

    python benchmarks/same_accuracy.py [--seeds 5] [--threads 1] [--csv FILE]

One network (X3D, 4 x 12 frames at 112 pixels) is trained on the bundled clips by the quick
profile, once per seed on either path: ours (channels-last memory, our convolutions and BatchNorm,
blocks by compiled loops where they were built) and torch's operators in NCDHW. Both see the same
clips, augmentation and initial weights. Prints every training and the paired difference with its
95% interval over the seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import dataclasses
import math
import statistics
from pathlib import Path
from typing import Any
from unittest import mock

from scipy.stats import t as student

from expand3d.execute.evaluate import make_jobs, train_once
from expand3d.networks import get_family
from expand3d.run.events import Watch
from expand3d.run.prepare import Prepared, prepare
from expand3d.study.config import NamedConfig

FIRST_SEED = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, help="also write the table here")
    options = parser.parse_args()
    config = NamedConfig(budget="0.1G", name="same-accuracy", threads=options.threads)
    ready = prepare(config, Watch())
    rows = []
    for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
        for path in ("ours", "torch"):
            rows.append({"seed": seed, "path": path, **train(ready, seed, path)})
            print(rows[-1], flush=True)
    for what in ("top1", "nll"):
        print(difference(rows, what))
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def train(ready: Prepared, seed: int, path: str) -> dict[str, Any]:
    """Accuracy, log-loss and seconds of one training."""
    family = get_family("x3d")
    factors = {"gamma_t": 4, "gamma_tau": 12}
    plan = family.resolve(family.base.replace(**factors), num_classes=12)
    job = ready.bench.jobs[0]
    jobs = make_jobs(train=job.train, val=job.held_out, folds=(), repeats=1, seed=seed)
    bench = dataclasses.replace(ready.bench, jobs=jobs)
    checkpoint = Path("studies/same-accuracy.checkpoint")
    with contextlib.ExitStack() as stack:
        if path == "torch":
            recipe = dataclasses.replace(bench.recipe, channels_last="off")
            bench = dataclasses.replace(bench, recipe=recipe)
            # Convolutions, BatchNorm and blocks all ask this.
            stack.enter_context(mock.patch("expand3d.networks.ops.conv.never_ours", lambda x: True))
        training = train_once(
            plan,
            bench,
            jobs[0],
            checkpoint=checkpoint,
            stop=lambda: False,
            on_progress=lambda *_: None,
        )
    checkpoint.unlink(missing_ok=True)
    assert training.means is not None, training.reason
    score = training.means
    return {
        "top1": round(score.top1, 4),
        "nll": round(score.nll, 4),
        "seconds": round(training.seconds - training.test_seconds, 1),
    }


def difference(rows: list[dict[str, Any]], what: str) -> str:
    """Mean of ours minus torch's over the seeds, with Student's 95% interval."""
    ours, torchs = ([row[what] for row in rows if row["path"] == p] for p in ("ours", "torch"))
    each = [a - b for a, b in zip(ours, torchs, strict=True)]
    mean, half = statistics.mean(each), math.inf
    if len(each) > 1:
        half = student.ppf(0.975, len(each) - 1) * statistics.stdev(each) / math.sqrt(len(each))
    return f"{what}, ours - torch's: {mean:+.4f} (95% {mean - half:+.4f} to {mean + half:+.4f})"


if __name__ == "__main__":
    main()
