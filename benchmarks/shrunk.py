"""Do weights of a larger network help the smallest one? A trained network is shrunk to the base.

    python benchmarks/shrunk.py [--seeds 3] [--threads 1] [--csv FILE]

X3D with 6 x 10 frames at 128 pixels (0.15 GMACs) is trained on the bundled clips
for 2,000 visits, remapped to the base (one frame of 112 pixels, 20 MMACs), and BatchNorm's
statistics are taken anew on training clips. Compared on the validation clips with bases that were
trained for 250 visits: from scratch, and from these weights. Prints every network, and the paired
differences with their 95% intervals over the seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from proxies import bench_of, difference, scores_of, trained, write_csv, x3d

import expand3d
from expand3d.core.genotype import Plan
from expand3d.core.scores import means_of
from expand3d.execute.evaluate import Bench
from expand3d.networks.weights.initial import Initial, hash_of
from expand3d.run.events import Watch
from expand3d.run.prepare import Prepared, prepare
from expand3d.study.config import NamedConfig
from expand3d.training.placement import place
from expand3d.training.precise_norm import reestimate
from expand3d.training.tasks.classify import ClassifyTask

LARGE, BASE = x3d(gamma_t=6, gamma_tau=10, gamma_s=128 / 112), x3d()
#: Clip visits of the large network, and of the bases.
LONG, SHORT = 2000, 250
#: Passes of training clips that give the statistics of BatchNorm.
PASSES = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, help="also write the table here")
    options = parser.parse_args()
    ready = prepare(NamedConfig(budget="0.2G", name="shrunk", threads=options.threads), Watch())
    rows = []
    for seed in range(options.seeds):
        for row in networks(ready, seed):
            rows.append(row)
            print(row, flush=True)
    for what in ("top1", "nll"):
        for network in ("shrunk", "from the large one"):
            print(difference(rows, what, column="network", one=network, other="scratch"))
    if options.csv:
        write_csv(options.csv, rows)


def networks(ready: Prepared, seed: int) -> Iterator[dict[str, Any]]:
    """The scores of the large network and of three bases, one by one."""

    def row(network: str, plan: Plan, scores: dict[str, float]) -> dict[str, Any]:
        gmacs = round(expand3d.cost(plan).macs / 1e9, 4)
        return {"seed": seed, "network": network, "gmacs": gmacs, **scores}

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "large.safetensors"
        bench = bench_of(ready, LARGE, seed, clip_visits=LONG)
        yield row("large", LARGE, scores_of(trained(LARGE, bench, weights_out=file)))
        initial = Initial(file, LARGE, hash_of(file), tuple(bench.store.class_names))
        bench = bench_of(ready, BASE, seed, clip_visits=SHORT)
        yield row("shrunk", BASE, shrunk(initial, bench))
        yield row("scratch", BASE, scores_of(trained(BASE, bench)))
        bench = dataclasses.replace(bench, initial=initial)
        yield row("from the large one", BASE, scores_of(trained(BASE, bench)))


def shrunk(initial: Initial, bench: Bench) -> dict[str, float]:
    """The scores of the base with weights of the large network, without training of its own."""
    job, recipe = bench.jobs[0], bench.recipe
    begun = initial.start(BASE, seed=job.seed, classes=bench.store.class_names)
    parts = (job.train, job.held_out)
    task = ClassifyTask(BASE, bench.store, *parts, recipe, job.seed, begun.state, new=begun.new)
    placement = place(recipe, device="cpu", threads=bench.threads)
    with placement.active():
        network = placement.model(task.build())
        batches = (task.batch(number) for number in range(PASSES))
        reestimate(network, batches, lambda net, batch: task.forward(net, batch, placement))
        network.eval()
        with torch.no_grad():
            scores = task.test(network, placement, tell=lambda *_: None, notes=[])
    means = means_of(scores)
    assert means is not None
    return {"top1": round(means.top1, 4), "nll": round(means.nll, 4)}


if __name__ == "__main__":
    main()
