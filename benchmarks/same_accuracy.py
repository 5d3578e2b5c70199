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
from pathlib import Path
from typing import Any
from unittest import mock

from proxies import bench_of, difference, own_seconds, scores_of, trained, write_csv, x3d

from expand3d.run.events import Watch
from expand3d.run.prepare import Prepared, prepare
from expand3d.study.config import NamedConfig

FIRST_SEED = 20
PLAN = x3d(gamma_t=4, gamma_tau=12)


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
        print(difference(rows, what, column="path", one="ours", other="torch"))
    if options.csv:
        write_csv(options.csv, rows)


def train(ready: Prepared, seed: int, path: str) -> dict[str, Any]:
    """Accuracy, log-loss and seconds of one training."""
    with contextlib.ExitStack() as stack:
        recipe = {}
        if path == "torch":
            recipe = {"channels_last": "off"}
            # Convolutions, BatchNorm and blocks all ask this.
            stack.enter_context(mock.patch("expand3d.networks.ops.conv.never_ours", lambda x: True))
        training = trained(PLAN, bench_of(ready, PLAN, seed, **recipe))
    return {**scores_of(training), "seconds": round(own_seconds(training), 1)}


if __name__ == "__main__":
    main()
