"""The settings of an axis around a latency: every look costs a measurement, so few are taken.

Arithmetic guesses where to look (time follows the activations), measurements decide. Looking from
below, with guesses, never measures a network that is many times too slow, as halving the axis
would.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache

from expand3d.core.genotype import Genotype, Plan
from expand3d.cost.price import Price
from expand3d.networks import activations

#: Measurements on one axis of one step at most.
ATTEMPTS = 8
#: A latency this near to the one that is wanted is as good as it: medians vary by as much.
NEAR = 1.05


def around(
    settings: Sequence[Genotype],
    now: Plan,
    *,
    resolve: Callable[[Genotype], Plan],
    target: int,
    ceiling: int | None,
    price: Price,
) -> tuple[int, int]:
    """Numbers of the slowest known setting below `target` nanoseconds, and of the fastest above.

    `settings` grow ever costlier from `now`; -1 stands for `now` itself, len(settings) for what
    was not looked at. Unmeasured where the next look needs a measurement.
    """

    @cache
    def size(place: int) -> int:  # of hundreds of settings few are looked at
        return activations(resolve(settings[place]))

    low, high = -1, len(settings)
    points = [(activations(now), price.of(now))]
    for attempt in range(ATTEMPTS):
        if high - low <= 1:
            break
        place = _guess(points, size, len(settings), target, attempt, low, high)
        cost = price.of(resolve(settings[place]))
        low, high = (low, place) if cost >= target else (place, high)
        points.append((size(place), cost))
        allowed = ceiling is None or cost <= ceiling
        if allowed and max(cost / target, target / cost) <= NEAR:
            break
    return low, high


def _guess(
    points: Sequence[tuple[int, int]],
    size_of: Callable[[int], int],
    count: int,
    target: int,
    attempt: int,
    low: int,
    high: int,
) -> int:
    """The next place to try for the target, strictly between `low` and `high`."""
    if high < count and attempt % 3 == 2:  # guesses may creep up from one side
        return (low + high) // 2
    below = max((p for p in points if p[1] < target), default=points[0])
    above = min((p for p in points if p[1] >= target), default=None)
    power = 1.0
    if above is not None and above[0] > below[0] and above[1] > below[1]:
        power = math.log(above[0] / below[0]) / math.log(above[1] / below[1])
    size = below[0] * (target / below[1]) ** power
    return min(high - 1, max(low + 1, bisect_left(range(count), size, key=size_of)))
