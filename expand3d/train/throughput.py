"""How fast a network trains and is tested on this machine, from a few real steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from expand3d.families import get_family
from expand3d.genotype import Plan
from expand3d.train.augment import test_crop
from expand3d.train.loader import Batch
from expand3d.train.placement import Placement, place
from expand3d.train.recipe import Recipe
from expand3d.train.scoring import Scorer
from expand3d.train.step import forward_backward, make_optimiser


@dataclass(frozen=True)
class Throughput:
    """Seconds of one training clip visit, and of one test view; reading clips is not in them.

    `start_seconds` is what the first pass of `bn_batch` clips takes longer than the others: memory
    is fetched, kernels are chosen.
    """

    train_seconds: float
    test_seconds: float
    start_seconds: float


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
        optimiser = make_optimiser(model, recipe)
        model.train()
        clips = clips or recipe.bn_batch
        labels = torch.zeros(clips, dtype=torch.long)
        train_views = _noise(clips, plan.frames, plan.crop)
        test_views = _noise(clips, plan.frames, test_crop(plan.crop, recipe.test_crops))

        def train() -> None:
            optimiser.zero_grad(set_to_none=True)
            batch = Batch(train_views, labels)
            forward_backward(model, batch, recipe=recipe, placement=placement)
            optimiser.step()

        first, later = _timed(train, seconds, placement)
        scorer = Scorer(model, placement, views=clips)
        _, test = _timed(lambda: scorer.probabilities(test_views), seconds, placement)
        return Throughput(
            train_seconds=later / clips,
            test_seconds=test / clips,
            start_seconds=max(0.0, first - later) * recipe.bn_batch / clips,
        )


def _noise(clips: int, frames: int, side: int) -> torch.Tensor:
    return torch.randint(256, (clips, frames, side, side, 3), dtype=torch.uint8)


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
