"""The share of a training step that waits for its clips, of X3D and of networks that read flow too.

    python benchmarks/waiting.py [--visits 240] [--threads N] [--csv FILE]

X3D with 4 x 12 frames at 112 pixels, I3D in two streams on the same clips and their flow, and the
two-stream base are trained on the bundled clips, whose flow is computed before. Prints the share of
the training proper that went by without the next clips.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from proxies import bench_of, own_seconds, trained, write_csv

import expand3d
from expand3d.networks import get_family
from expand3d.run.events import Watch
from expand3d.run.prepare import prepare
from expand3d.study.config import NamedConfig

CLIP = {"gamma_t": 4, "gamma_tau": 12}
NETWORKS = {"x3d": CLIP, "i3d_twostream": CLIP, "twostream": {}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visits", type=int, default=240, help="clip visits of a training")
    parser.add_argument("--threads", type=int, help="CPU threads; all cores if left out")
    parser.add_argument("--csv", type=Path, help="also write the table here")
    options = parser.parse_args()
    rows = []
    for family in NETWORKS:
        rows.append(waited(family, options))
        print(rows[-1], flush=True)
    if options.csv:
        write_csv(options.csv, rows)


def waited(family: str, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds a step, and the share of them without the next clips, of one training."""
    genotype = get_family(family).base.replace(**NETWORKS[family])
    plan = expand3d.resolve(genotype, num_classes=12)
    config = NamedConfig(budget="1G", name="waiting", family=family, threads=options.threads)
    bench = bench_of(prepare(config, Watch()), plan, 0, clip_visits=options.visits)
    training = trained(plan, bench)
    seconds = own_seconds(training)
    return {
        "network": f"{family} {plan.frames}x{plan.stride} {plan.crop}px",
        "mmacs": round(expand3d.cost(plan).macs / 1e6, 1),
        "threads": bench.threads,
        "seconds_a_step": round(seconds * bench.recipe.batch / training.clip_visits, 3),
        "waited": round(training.waited_seconds / seconds, 4),
    }


if __name__ == "__main__":
    main()
