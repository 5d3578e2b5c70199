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
import csv
import dataclasses
import math
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student

import expand3d
from expand3d.core.genotype import Plan
from expand3d.core.recipe import Recipe
from expand3d.core.result import Training
from expand3d.core.scores import means_of
from expand3d.execute.evaluate import Bench, make_jobs, train_once
from expand3d.networks import get_family
from expand3d.networks.weights.initial import Initial, hash_of
from expand3d.run.clips import ClipsOf
from expand3d.run.events import Watch
from expand3d.run.prepare import Prepared, prepare
from expand3d.study.config import NamedConfig
from expand3d.training.placement import place
from expand3d.training.precise_norm import reestimate
from expand3d.training.tasks.classify import ClassifyTask

FAMILY = get_family("x3d")
LARGE = {"gamma_t": 6, "gamma_tau": 10, "gamma_s": 128 / 112}
VISITS = {"large": 2000, "scratch": 250}
#: Passes of training clips that give the statistics of BatchNorm.
PASSES = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, help="also write the table here")
    options = parser.parse_args()
    ready = prepare(NamedConfig(budget="0.2G", name="shrunk", threads=options.threads), Watch())
    rows: list[dict[str, Any]] = []
    for seed in range(options.seeds):
        for network, top1, nll, macs in networks(ready, seed):
            rows.append({"seed": seed, "network": network, "gmacs": macs, "top1": top1, "nll": nll})
            print(rows[-1], flush=True)
    for what in ("top1", "nll"):
        for network in ("shrunk", "from the large one"):
            print(difference(rows, what, network))
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def networks(ready: Prepared, seed: int) -> Any:
    """Name, top-1, log-loss and GMACs of the large network and of three bases, one by one."""
    large, base = (
        FAMILY.resolve(FAMILY.base.replace(**factors), num_classes=12) for factors in (LARGE, {})
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "large.safetensors"
        bench = bench_of(ready, large, seed, clip_visits=VISITS["large"])
        yield row("large", large, trained(large, bench, file))
        initial = Initial(file, large, hash_of(file), tuple(ready.bench.store.class_names))
        bench = bench_of(ready, base, seed, clip_visits=VISITS["scratch"])
        yield shrunk(initial, base, bench)
        yield row("scratch", base, trained(base, bench))
        bench = dataclasses.replace(bench, initial=initial)
        yield row("from the large one", base, trained(base, bench))


def trained(plan: Plan, bench: Bench, weights_out: Path | None = None) -> Training:
    with tempfile.TemporaryDirectory() as folder:
        return train_once(
            plan,
            bench,
            bench.jobs[0],
            checkpoint=Path(folder) / "checkpoint.pt",
            stop=lambda: False,
            on_progress=lambda *_: None,
            weights_out=weights_out,
        )


def shrunk(initial: Initial, plan: Plan, bench: Bench) -> tuple[str, float, float, float]:
    """The base with weights of the large network, without any training of its own."""
    job, recipe = bench.jobs[0], bench.recipe
    begun = initial.start(plan, seed=job.seed, classes=bench.store.class_names)
    task = ClassifyTask(
        plan, bench.store, job.train, job.held_out, recipe, job.seed, begun.state, new=begun.new
    )
    placement = place(recipe, device="cpu", threads=bench.threads)
    with placement.active():
        network = placement.model(task.build())
        batches = (task.batch(number) for number in range(PASSES))
        reestimate(network, batches, lambda net, batch: task.forward(net, batch, placement))
        network.eval()
        with torch.no_grad():
            scores = task.test(network, placement, tell=lambda *_: None, notes=[])
    means = means_of(scores)
    return "shrunk", round(means.top1, 4), round(means.nll, 4), gmacs(plan)


def row(name: str, plan: Plan, training: Training) -> tuple[str, float, float, float]:
    assert training.means is not None, training.reason
    return name, round(training.means.top1, 4), round(training.means.nll, 4), gmacs(plan)


def gmacs(plan: Plan) -> float:
    return round(expand3d.cost(plan).macs / 1e9, 4)


def bench_of(ready: Prepared, plan: Plan, seed: int, **recipe: Any) -> Bench:
    job = ready.bench.jobs[0]
    jobs = make_jobs(train=job.train, val=job.held_out, folds=(), repeats=1, seed=seed)
    changed: Recipe = dataclasses.replace(ready.bench.recipe, **recipe)
    bench = dataclasses.replace(ready.bench, jobs=jobs, recipe=changed)
    return ClipsOf(ready, Watch()).bench(plan, bench)


def difference(rows: list[dict[str, Any]], what: str, network: str) -> str:
    """The mean of a network less the base from scratch, with its 95% interval over seeds."""
    by = {(row["seed"], row["network"]): row[what] for row in rows}
    pairs = [by[seed, network] - by[seed, "scratch"] for seed, name in by if name == "scratch"]
    half = student.ppf(0.975, len(pairs) - 1) * statistics.stdev(pairs) / math.sqrt(len(pairs))
    mean = statistics.fmean(pairs)
    return f"{what}: {network} - scratch {mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


if __name__ == "__main__":
    main()
