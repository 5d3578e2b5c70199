"""Which setting of one axis costs what the step wants: solved on the arithmetic cost twin.

Real rounding throughout: only settings that a family can resolve are considered, so a solution is
the network that will be trained, and its closeness to the target is exact.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from expand3d.cost.budget import format_macs
from expand3d.families.base import Family, Limits
from expand3d.genotype import Genotype, Plan

#: An axis that cannot add this share of the current cost has nothing worth training.
LEAST_GROWTH = 1.05


@dataclass(frozen=True)
class Solution:
    """A network on the axis; `closeness` is its cost / the cost that was aimed at."""

    genotype: Genotype
    plan: Plan
    macs: int
    closeness: float


@dataclass(frozen=True)
class Exhausted:
    """The axis offers nothing, and why: the data ends, its range ends, or the budget does."""

    reason: str


class Solver(Protocol):
    """`solve`, or a table that stands in for it."""

    def __call__(
        self,
        family: Family,
        axis: str,
        genotype: Genotype,
        *,
        target: int,
        ceiling: int | None,
        limits: Limits,
        num_classes: int,
    ) -> Solution | Exhausted: ...


def solve(
    family: Family,
    axis: str,
    genotype: Genotype,
    *,
    target: int,
    ceiling: int | None,
    limits: Limits,
    num_classes: int,
) -> Solution | Exhausted:
    """The setting of `axis` whose cost is nearest to `target` MACs by ratio, never over `ceiling`.

    Exhausted where the best setting adds less than 5% to the cost of `genotype`. Settings grow
    ever costlier, so a bisection over them finds the two on either side of the target.
    """
    return _solved(family, axis, genotype, target, ceiling, limits, num_classes)


@lru_cache(maxsize=4096)
def _solved(
    family: Family,
    axis: str,
    genotype: Genotype,
    target: int,
    ceiling: int | None,
    limits: Limits,
    num_classes: int,
) -> Solution | Exhausted:
    """`solve`, remembered: a strategy replays its whole run each time that it is asked."""

    def macs(setting: Genotype) -> int:
        return family.cost(family.resolve(setting, num_classes=num_classes)).macs

    settings = list(family.grow(axis, genotype, limits))
    above = bisect_left(settings, target, key=macs)
    around = settings[max(0, above - 1) : above + 1]
    legal = [setting for setting in around if ceiling is None or macs(setting) <= ceiling]
    best = min(legal, key=lambda setting: abs(math.log(macs(setting) / target)), default=None)
    least = LEAST_GROWTH * macs(genotype)
    if best is not None and macs(best) >= least:
        return solution(family, best, target=target, num_classes=num_classes)
    for setting in settings[above:]:
        if macs(setting) >= least:
            return Exhausted(f"over the budget: the next setting is {format_macs(macs(setting))}")
    return Exhausted(_end(family, axis, genotype, limits, num_classes))


def solution(family: Family, genotype: Genotype, *, target: int, num_classes: int) -> Solution:
    """`genotype` as a solution, with its closeness to `target` MACs."""
    plan = family.resolve(genotype, num_classes=num_classes)
    macs = family.cost(plan).macs
    return Solution(genotype, plan, macs, macs / target)


def contract(
    family: Family, axis: str, genotype: Genotype, *, budget: int, num_classes: int
) -> Solution | None:
    """The costliest network at or under `budget` MACs on the way back along `axis`, if any.

    The paper's backward contraction: the last expansion is reduced until the budget is met.
    """
    settings = list(family.shrink(axis, genotype))

    def negative_macs(setting: Genotype) -> int:
        return -family.cost(family.resolve(setting, num_classes=num_classes)).macs

    first = bisect_left(settings, -budget, key=negative_macs)
    if first == len(settings):
        return None
    return solution(family, settings[first], target=budget, num_classes=num_classes)


def _end(family: Family, axis: str, genotype: Genotype, limits: Limits, num_classes: int) -> str:
    """Why an axis ends here: the limit whose lifting would let it go on, or its own range."""
    plan = family.resolve(genotype, num_classes=num_classes)
    reach = len(list(family.grow(axis, genotype, limits)))
    wider = dataclasses.replace(limits, crop=2 * max(limits.crop, plan.crop))
    if len(list(family.grow(axis, genotype, wider))) > reach:
        return f"data ends: crop {plan.crop} of {limits.crop}"
    longer = dataclasses.replace(limits, duration=4 * max(limits.duration, plan.duration))
    if len(list(family.grow(axis, genotype, longer))) > reach:
        return f"data ends: clips of {plan.duration} of {limits.duration} frames"
    if plan.frames == 1 and any(family.grow(axis, genotype.replace(gamma_t=2), limits)):
        return "one frame: it needs a second"
    if plan.frames > 1 and genotype[axis] == plan.stride == 1:
        return "stride 1"
    return f"range ends: {axis} {genotype[axis]:g}"
