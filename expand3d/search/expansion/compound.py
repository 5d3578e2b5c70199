"""Variants of the expansion: all axes at once, and several networks of a step kept alive."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from expand3d.core.genotype import Genotype, Plan
from expand3d.core.quantity import LATENCY
from expand3d.core.trial import Candidate
from expand3d.cost.price import Price
from expand3d.networks.family import Family, Limits
from expand3d.search.expansion.solve import (
    LEAST_GROWTH,
    Exhausted,
    Solution,
    allowed,
    refused,
    solution,
)

#: The name under which all axes grow at once.
COMPOUND = "compound"
#: Settings of an axis that are made before one of them is priced.
LOOK = 16


@lru_cache(maxsize=1024)
def compound(
    family: Family,
    axes: tuple[str, ...],
    genotype: Genotype,
    *,
    target: int,
    ceiling: int | None,
    limits: Limits,
    num_classes: int,
    price: Price,
) -> Solution | Exhausted:
    """The network that grows every axis by an equal share of the log of its price, to `target`.

    Each axis in turn takes its share of what is left, rounded to a setting that it has; what
    rounding leaves goes to the axes after it, and in the end to whichever comes nearest, so that
    no setting of a single axis would come nearer to the target by ratio. An axis whose smallest
    growth is more than half of the step cannot take a share: it takes the smallest where that
    comes nearer to the target, as time does that leaves a single frame, and less than 5% is then
    not shared. Never over `ceiling`, nor then over the limits beside it; Exhausted where less than
    5% is added to the price of `genotype`. `price` counts what arithmetic knows.
    """
    reach = Reach(family, limits, num_classes, ceiling, price)
    now = _shared(reach, axes, genotype, target)
    if reach.cost(now) < LEAST_GROWTH * reach.cost(genotype):
        only = f"all axes together come only to {price.quantity.text(reach.cost(now))}"
        reason = reach.refused(axes, now)
        return Exhausted(only if reason is None else f"{only} ({reason})")
    if ceiling is not None and (over := price.over(reach.plan(now))) is not None:
        return Exhausted(f"over the budget: all axes together come to {over}")
    return solution(family, now, target=target, num_classes=num_classes, price=price)


@dataclass(frozen=True)
class Reach:
    """The settings of an axis that arithmetic and restrictions allow, and what they cost."""

    family: Family
    limits: Limits
    num_classes: int
    ceiling: int | None
    price: Price

    def plan(self, setting: Genotype) -> Plan:
        return self.family.resolve(setting, num_classes=self.num_classes)

    def cost(self, setting: Genotype) -> int:
        return _cost(self, setting)

    def away(self, setting: Genotype, aim: float) -> float:
        """The distance of a setting's cost from `aim`, as a logarithm."""
        return abs(math.log(self.cost(setting) / aim))

    def settings(self, axis: str, now: Genotype) -> Sequence[Genotype]:
        """Ever costlier settings of the axis up to the ceiling; latency is left to the end."""
        return _settings(self, axis, now)

    def refused(self, axes: Sequence[str], now: Genotype) -> str | None:
        """The reason why some single axis cannot grow further; None where nothing is refused."""
        for axis in axes:
            grown = list(self.family.grow(axis, now, self.limits))
            if (reason := refused(grown, self.limits, self.plan)) is not None:
                return reason
        return None

    def nearest(self, axis: str, now: Genotype, aim: float) -> Genotype:
        """The setting of the axis whose cost is nearest to `aim`; `now` is one of them."""
        grown = self.settings(axis, now)
        above = bisect_left(grown, aim, key=self.cost)
        around = [now, *grown[max(0, above - 1) : above + 1]]
        return min(around, key=lambda setting: self.away(setting, aim))


@lru_cache(maxsize=16384)
def _cost(reach: Reach, setting: Genotype) -> int:
    """`Reach.cost`, remembered: networks that share their growth otherwise meet on the way."""
    return reach.price.of(reach.plan(setting))


@lru_cache(maxsize=512)
def _settings(reach: Reach, axis: str, now: Genotype) -> Sequence[Genotype]:
    """`Reach.settings`, remembered: every network of a sequence grows from the same start."""
    every = reach.family.grow(axis, now, reach.limits)
    if reach.ceiling is None:
        return allowed(list(every), reach.limits, reach.plan)
    computed = tuple(limit for limit in reach.price.also if limit.quantity is not LATENCY)
    price, ceiling = replace(reach.price, also=computed), reach.ceiling

    def over(setting: Genotype) -> bool:
        if reach.cost(setting) > ceiling:
            return True
        return bool(computed) and price.over(reach.plan(setting)) is not None

    looked_at: list[Genotype] = []
    while more := list(itertools.islice(every, LOOK)):  # an axis may have a thousand
        looked_at += more
        if over(more[-1]):
            break
    grown = allowed(looked_at, reach.limits, reach.plan)
    return grown[: bisect_left(grown, True, key=over)]


def _shared(reach: Reach, axes: tuple[str, ...], genotype: Genotype, target: int) -> Genotype:
    """Every axis grown by its share of what is left when its turn comes."""
    now = genotype
    half = math.log(target / reach.cost(genotype)) / 2
    for place, axis in enumerate(axes):
        cost = reach.cost(now)
        left = math.log(target / cost)
        least = next(iter(reach.settings(axis, now)), None)
        if least is not None and half < math.log(reach.cost(least) / cost) < 2 * left:
            now = least
            if reach.cost(now) * LEAST_GROWTH > target:
                return now
        else:
            now = reach.nearest(axis, now, cost * math.exp(left / (len(axes) - place)))
    return mended(reach, axes, now, target)


def mended(reach: Reach, axes: Sequence[str], now: Genotype, target: int) -> Genotype:
    """`now` with single axes grown for as long as that comes nearer to the target."""
    while True:
        options = [reach.nearest(axis, now, target) for axis in axes]
        nearer = min(options, key=lambda setting: reach.away(setting, target))
        if reach.away(nearer, target) >= reach.away(now, target):
            return now
        now = nearer


def parents(beam: Sequence[Candidate]) -> list[str]:
    """The names of a beam's networks where they are grown further, each differently."""
    axes = [parent.axis or parent.role for parent in beam]
    often = Counter(axes)
    return [
        f"{axis} ({place})" if often[axis] > 1 else axis for place, axis in enumerate(axes, start=1)
    ]


def descendant(candidate: Candidate, parent: str) -> Candidate:
    """The candidate of one of several parents, which its label tells apart."""
    return replace(candidate, label=f"after {parent}")
