"""The setting of one axis that costs what the step wants.

It is solved on the arithmetic cost twin, or on measured latencies where steps count those.

Real rounding throughout: only settings that a family can resolve are considered, so a solution is
the network that will be trained, and its closeness to the target is exact.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from expand3d.core.genotype import Genotype, Plan
from expand3d.cost.price import IN_MACS, Price
from expand3d.networks.family import Family, Limits
from expand3d.search.expansion import by_latency as timed

#: An axis that cannot add this share of the current cost has nothing worth training.
LEAST_GROWTH = 1.05


@dataclass(frozen=True)
class Solution:
    """A network on the axis; `closeness` is its price / the price that was aimed at."""

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
        price: Price,
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
    price: Price = IN_MACS,
) -> Solution | Exhausted:
    """The setting of `axis` whose price is nearest to `target` by ratio, never over `ceiling`.

    With a ceiling the limits beside it hold too. Settings that `limits` refuse are passed over.
    Exhausted where the best setting adds less than 5% to the price of `genotype`. Settings grow
    ever costlier, so a bisection over them finds the two on either side of the target. Unmeasured
    where a latency is needed that is not known.
    """
    return _solved(family, axis, genotype, target, ceiling, limits, num_classes, price)


@lru_cache(maxsize=4096)
def _solved(
    family: Family,
    axis: str,
    genotype: Genotype,
    target: int,
    ceiling: int | None,
    limits: Limits,
    num_classes: int,
    price: Price,
) -> Solution | Exhausted:
    """`solve`, remembered: a strategy replays its whole run each time that it is asked."""

    def plan(setting: Genotype) -> Plan:
        return family.resolve(setting, num_classes=num_classes)

    def cost(setting: Genotype) -> int:
        return price.of(plan(setting))

    every = list(family.grow(axis, genotype, limits))
    settings = allowed(every, limits, plan)
    if price.measured:
        below, above = timed.around(
            settings, plan(genotype), resolve=plan, target=target, ceiling=ceiling, price=price
        )
        looked_at = above + 1  # beyond it nothing is known
    else:
        above = bisect_left(settings, target, key=cost)
        below, looked_at = above - 1, len(settings)
    around = [settings[place] for place in (below, above) if 0 <= place < len(settings)]
    legal = [setting for setting in around if ceiling is None or cost(setting) <= ceiling]
    blocked = None
    if ceiling is not None and price.also:
        legal, blocked = _within(settings, legal, lambda setting: price.over(plan(setting)))
    best = min(legal, key=lambda setting: abs(math.log(cost(setting) / target)), default=None)
    least = LEAST_GROWTH * cost(genotype)
    if best is not None and cost(best) >= least:
        return solution(family, best, target=target, num_classes=num_classes, price=price)
    if blocked is not None:
        return Exhausted(f"over the budget: the next setting is {blocked}")
    if len(settings) < len(every):
        if price.measured:  # what is refused is never measured
            taken = [] if above < len(settings) else every
        else:
            taken = [s for s in every if cost(s) >= least and (not ceiling or cost(s) <= ceiling)]
        if (reason := refused(taken, limits, plan)) is not None:
            return Exhausted(reason)
    for setting in settings[above:looked_at]:
        if cost(setting) >= least:
            next_cost = price.quantity.text(cost(setting))
            return Exhausted(f"over the budget: the next setting is {next_cost}")
    return Exhausted(_end(family, axis, genotype, limits, num_classes))


def allowed(
    settings: Sequence[Genotype], limits: Limits, resolve: Callable[[Genotype], Plan]
) -> list[Genotype]:
    """The settings that no restriction refuses, in their order."""
    if not limits.restrictions:
        return list(settings)
    return [setting for setting in settings if limits.refusal(resolve(setting)) is None]


def refused(
    settings: Sequence[Genotype], limits: Limits, resolve: Callable[[Genotype], Plan]
) -> str | None:
    """The reason why the first of the settings that is refused is; None where none is."""
    reasons = (limits.refusal(resolve(setting)) for setting in settings)
    return next((f"refused: {reason}" for reason in reasons if reason is not None), None)


def _within(
    settings: Sequence[Genotype],
    wanted: Sequence[Genotype],
    over: Callable[[Genotype], str | None],
) -> tuple[list[Genotype], str | None]:
    """Those of `wanted` that are within further limits, or else the costliest setting that is.

    The text is by how much the next setting is `over` a limit.
    """
    legal = [setting for setting in wanted if over(setting) is None]
    if legal or not wanted:
        return legal, None
    first = settings.index(wanted[0])
    end = bisect_left(range(first), True, key=lambda place: over(settings[place]) is not None)
    return list(settings[max(0, end - 1) : end]), over(settings[end])


def solution(
    family: Family, genotype: Genotype, *, target: int, num_classes: int, price: Price = IN_MACS
) -> Solution:
    """`genotype` as a solution, with its closeness to the price `target`."""
    plan = family.resolve(genotype, num_classes=num_classes)
    return Solution(genotype, plan, family.cost(plan).macs, price.of(plan) / target)


def contract(
    family: Family,
    axis: str,
    genotype: Genotype,
    *,
    budget: int,
    limits: Limits,
    num_classes: int,
    price: Price = IN_MACS,
) -> Solution | Exhausted:
    """The costliest network within all limits on the way back along `axis`.

    The paper's backward contraction: the last expansion is reduced until the budget is met.
    Exhausted where no setting meets it, or none that is allowed.
    """

    def plan(setting: Genotype) -> Plan:
        return family.resolve(setting, num_classes=num_classes)

    def fits(setting: Genotype) -> bool:
        return price.of(plan(setting)) <= budget and price.over(plan(setting)) is None

    every = list(family.shrink(axis, genotype))
    settings = allowed(every, limits, plan)
    first = bisect_left(settings, True, key=fits)
    if first == len(settings):
        reason = refused(every, limits, plan)
        cannot = "cannot be contracted to lie under the budget"
        return Exhausted(cannot if reason is None else f"{cannot} ({reason})")
    found = settings[first]
    return solution(family, found, target=budget, num_classes=num_classes, price=price)


def _end(family: Family, axis: str, genotype: Genotype, limits: Limits, num_classes: int) -> str:
    """The reason why an axis ends: the limit whose lifting would let it go on, or its own range."""
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
