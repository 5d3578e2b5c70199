"""The speed at which networks train and are tested on this machine, from a few real steps.

Trainings that go on side by side slow each other down, by up to a quarter on two cores: they share
memory, caches and what the processor may heat up. So where a run trains several at a time, as many
processes time the same networks at once. `python -m expand3d.measure.throughput` is one of them; it
takes its task as JSON from standard input and writes its times as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch

from expand3d.core import process as children
from expand3d.core.genotype import Plan
from expand3d.core.recipe import Recipe
from expand3d.data.crops import test_crop
from expand3d.networks import activations, get_family, plan_from_json
from expand3d.networks.example import example_views
from expand3d.training.batches import ClipBatch
from expand3d.training.placement import Placement, place
from expand3d.training.scoring import Scorer
from expand3d.training.step import forward_backward, make_optimiser, parameter_groups
from expand3d.training.tasks.classify import classify

#: Seconds that a timed pass may take; a costlier network is timed with fewer clips.
LONGEST_PASS = 1.5
#: Networks of which not even one clip is trained within so many seconds are not timed.
LONGEST_CLIP = 5.0


@dataclass(frozen=True)
class Throughput:
    """Seconds of one training clip visit, and of one test view; reading clips is not in them.

    `start_seconds` is what the first pass of `bn_batch` clips takes longer than the others: memory
    is fetched, kernels are chosen.
    """

    train_seconds: float
    test_seconds: float
    start_seconds: float


@dataclass(frozen=True)
class Site:
    """A place for trainings: so many at a time, each with `threads` on one of `devices` in turn."""

    devices: tuple[str, ...]
    threads: int
    at_a_time: int = 1


class Timed(NamedTuple):
    """The speed of one network, timed in passes of `clips` clips."""

    plan: Plan
    clips: int
    speed: Throughput


def calibrate_at(plans: Sequence[Plan], *, recipe: Recipe, site: Site) -> tuple[Timed, ...]:
    """The times of `plans`, which are given by their activations, the smallest first.

    Those too costly to be timed in seconds are left out. Where `site` trains several at a time,
    each time is the mean over as many processes.
    """
    if site.at_a_time > 1 and (together := _together(plans, recipe, site)):
        return together
    return _one_by_one(plans, recipe=recipe, device=site.devices[0], threads=site.threads)


def _one_by_one(
    plans: Sequence[Plan], *, recipe: Recipe, device: str, threads: int
) -> tuple[Timed, ...]:
    timed: list[Timed] = []
    for plan in plans:
        clips = recipe.bn_batch
        if timed:
            last = timed[-1]
            grown = activations(plan) / activations(last.plan)
            per_clip = last.speed.train_seconds * grown
            if per_clip > LONGEST_CLIP:
                break
            clips = max(1, min(clips, int(LONGEST_PASS / per_clip)))
        speed = calibrate(plan, recipe=recipe, device=device, threads=threads, clips=clips)
        timed.append(Timed(plan, clips, speed))
    return tuple(timed)


def _together(plans: Sequence[Plan], recipe: Recipe, site: Site) -> tuple[Timed, ...]:
    """The times of `plans`, by processes that run at once; nothing where one of them fails."""
    task = {
        "plans": [plan.to_json() for plan in plans],
        "recipe": recipe.to_json(),
        "threads": site.threads,
    }
    processes = [
        _start({**task, "device": site.devices[number % len(site.devices)]})
        for number in range(site.at_a_time)
    ]
    try:
        replies = [process.communicate()[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if any(process.returncode for process in processes):
        return ()
    # One may have been too slow to time the costliest, or have timed it with fewer clips.
    rows = zip(plans, *(json.loads(reply) for reply in replies), strict=False)
    return tuple(
        Timed(plan, min(clips for clips, *_ in each), _mean([times for _, *times in each]))
        for plan, *each in rows
    )


def _start(task: Mapping[str, Any]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "expand3d.measure.throughput"],
        env=children.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # heard of as its exit status
        process.stdin.write(json.dumps(task))
        process.stdin.close()
    process.stdin = None  # `communicate` would close it once more
    return process


def _mean(times: Sequence[Sequence[float]]) -> Throughput:
    return Throughput(*(statistics.mean(kind) for kind in zip(*times, strict=True)))


def calibrate(
    plan: Plan,
    *,
    recipe: Recipe,
    device: str = "cpu",
    threads: int | None = None,
    seconds: float = 0.5,
    clips: int | None = None,
) -> Throughput:
    """The median of at least two timed passes of `clips` clips (`bn_batch`), of either kind.

    Each kind is timed for about `seconds`, after one pass that warms up; the clips are noise.
    """
    placement = place(recipe, device=device, threads=threads)
    with placement.active():
        model = placement.model(get_family(plan.family).build(plan, dropout=recipe.dropout))
        optimiser = make_optimiser(parameter_groups(model, recipe.weight_decay), recipe)
        model.train()
        clips = clips or recipe.bn_batch
        labels = torch.zeros(clips, dtype=torch.long)
        train_views = example_views(plan, clips)
        wide = test_crop(plan.crop, recipe.test_crops)
        test_views = example_views(plan, clips, crop=wide)

        forward = partial(classify, model, recipe=recipe, placement=placement, kinds=plan.kinds)

        def train() -> None:
            optimiser.zero_grad(set_to_none=True)
            forward_backward(forward, ClipBatch(train_views, labels))
            optimiser.step()

        first, later = _timed(train, seconds, placement)
        scorer = Scorer(model, placement, views=clips, kinds=plan.kinds)
        _, test = _timed(lambda: scorer.probabilities(test_views), seconds, placement)
        return Throughput(
            train_seconds=later / clips,
            test_seconds=test / clips,
            start_seconds=max(0.0, first - later) * recipe.bn_batch / clips,
        )


def _timed(work: Callable[[], object], seconds: float, placement: Placement) -> tuple[float, float]:
    """Seconds of the first run of `work`, and the median of two or more later ones.

    It is repeated until `seconds` are over.
    """
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        started = time.perf_counter()
        work()
        if placement.on_gpu:
            torch.cuda.synchronize(placement.device)
        times.append(time.perf_counter() - started)
    return times[0], statistics.median(times[1:])


def main() -> None:
    """Time the networks that standard input names, and write for each: clips of a pass, times."""
    task = json.load(sys.stdin)
    timed = _one_by_one(
        [plan_from_json(plan) for plan in task["plans"]],
        recipe=Recipe.from_json(task["recipe"]),
        device=task["device"],
        threads=task["threads"],
    )
    json.dump([[one.clips, *dataclasses.astuple(one.speed)] for one in timed], sys.stdout)


if __name__ == "__main__":
    main()
