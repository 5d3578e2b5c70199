"""The speed of trainings on this machine: rates fitted to a few networks that were timed.

A pass takes time for every element that a convolution writes (memory traffic, most of it in
channel-wise 3D networks), for every multiply-add, for every layer that is called, however small,
and for every clip. By activations alone deep networks were expected to take a third less than they
did.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expand3d.core.genotype import Plan
from expand3d.core.recipe import Recipe
from expand3d.core.trial import Candidate
from expand3d.networks import get_family

if TYPE_CHECKING:
    from expand3d.measure.throughput import Site, Timed

#: Networks that are timed at most.
TIMED = 5
#: Networks closer than this, as a ratio of what they ask for, say nothing new about rates.
LEAST_SPREAD = 1.5


@dataclass(frozen=True)
class Pace:
    """Seconds of what a pass asks for (`_asks`): in training, in tests, and once at the start."""

    train: tuple[float, ...]
    test: tuple[float, ...]
    start: tuple[float, ...]
    clips: int

    def seconds(self, plan: Plan, *, visits: int, views: int, trainings: int) -> float:
        """Expected time of `trainings` of one network, of their clip `visits` and test `views`."""
        asks = _asks(plan, self.clips)
        return float(
            asks @ self.train * visits + asks @ self.test * views + asks @ self.start * trainings
        )


def calibrate(candidates: Iterable[Candidate], *, recipe: Recipe, site: Site) -> Pace:
    """The pace of `candidates` at `site`, from timing those that differ most."""
    from expand3d.measure.throughput import calibrate_at

    unique = {candidate.plan.digest: candidate.plan for candidate in candidates}
    plans = telling([*unique.values()])
    return fit(calibrate_at(plans, recipe=recipe, site=site), clips=recipe.bn_batch)


def telling(plans: Sequence[Plan]) -> list[Plan]:
    """Up to TIMED of `plans` that differ most in what they ask for, by their activations.

    The first has the fewest activations; each of the others is the one farthest from all before.
    """
    asked = np.log([_asks(plan, 1) for plan in plans])
    chosen = [int(asked[:, 0].argmin())]
    while len(chosen) < TIMED:
        far = np.linalg.norm(asked[:, None] - asked[chosen], axis=2).min(axis=1)
        if far.max() < math.log(LEAST_SPREAD):
            break
        chosen.append(int(far.argmax()))
    return [plans[number] for number in sorted(chosen, key=lambda number: asked[number, 0])]


def fit(timed: Sequence[Timed], *, clips: int) -> Pace:
    """The rates, none negative, that come closest to the times; the pace of passes of `clips`."""
    asks = np.array([_asks(one.plan, one.clips) for one in timed])

    def rates(seconds: Iterable[float]) -> tuple[float, ...]:
        from scipy.optimize import nnls

        # Errors count relative to a network's size, and columns of one length keep nnls exact.
        relative = asks / asks[:, :1]
        scale = relative.max(axis=0)
        found, _ = nnls(relative / scale, np.array([*seconds]) / asks[:, 0])
        return tuple((found / scale).tolist())

    return Pace(
        train=rates(one.speed.train_seconds for one in timed),
        test=rates(one.speed.test_seconds for one in timed),
        start=rates(one.speed.start_seconds for one in timed),
        clips=clips,
    )


def _asks(plan: Plan, clips: int) -> NDArray[Any]:
    """The amounts that one clip of a pass of `clips` asks for, in the order of the rates.

    Elements that convolutions write, multiply-adds, its share of the calls of layers, itself.
    """
    cost = get_family(plan.family).cost(plan)
    return np.array([cost.activations, cost.macs, len(cost.operators) / clips, 1.0])
