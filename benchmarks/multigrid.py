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
import math
from pathlib import Path
from typing import Any

from proxies import bench_of, difference, own_seconds, scores_of, trained, write_csv, x3d

from expand3d.run.events import Watch
from expand3d.run.prepare import Prepared, prepare
from expand3d.study.config import NamedConfig

FIRST_SEED = 0
WAYS = ("off", "long", "shorter long", "sides", "shorter sides")
PLAN = x3d(gamma_t=4, gamma_tau=12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, help="also write the table here")
    options = parser.parse_args()
    ready = prepare(NamedConfig(budget="0.1G", name="multigrid", threads=options.threads), Watch())
    rows = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for way in WAYS:
            rows.append({"seed": seed, "way": way, **train(ready, seed, way)})
            print(rows[-1], flush=True)
    for what in ("top1", "nll"):
        for kind in ("long", "sides"):
            for other in ("off", f"shorter {kind}"):
                print(difference(rows, what, column="way", one=kind, other=other))
    if options.csv:
        write_csv(options.csv, rows)


def train(ready: Prepared, seed: int, way: str) -> dict[str, Any]:
    """Visits, training MACs, seconds, accuracy and log-loss of one training."""
    *shorter, kind = way.split()
    bench = bench_of(ready, PLAN, seed, multigrid=kind)
    if shorter:
        whole = bench_of(ready, PLAN, seed)
        share = bench.training_macs(PLAN) / whole.training_macs(PLAN)
        bench = bench_of(ready, PLAN, seed, clip_visits=math.ceil(share * whole.visits))
    training = trained(PLAN, bench)
    return {
        "visits": training.clip_visits,
        "training_tmacs": round(training.training_macs / 1e12, 4),
        "seconds": round(own_seconds(training), 1),
        **scores_of(training),
    }


if __name__ == "__main__":
    main()
