"""Guessed latencies: which networks are worth a measurement, where only that can judge them.

Time does not follow the activations alone: on a GPU a small network waits for its launches. A few
networks of doubling size are measured first, and between them time follows a power law.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from expand3d.core.genotype import Genotype, Plan
from expand3d.core.measured import Latency
from expand3d.core.quantity import ACTIVATIONS
from expand3d.cost.price import Price, guessed_latency
from expand3d.networks import activations, get_family
from expand3d.networks.family import Limits
from expand3d.search.expansion.compound import compound
from expand3d.search.expansion.solve import Exhausted

#: How many times the budget a guess may be before a network is not worth its measurement.
SLACK = 2.0
#: Points at most: 2 ** 16 times the activations of the start are beyond any clip.
POINTS = 16


@dataclass(frozen=True)
class Guesses:
    """Guesses of latencies from `points`, (activations, ns) of measured networks by size."""

    points: tuple[tuple[int, int], ...]

    def __call__(self, plan: Plan) -> Latency:
        return guessed_latency(between(self.points, activations(plan)) / 1e6)


def guesses(
    start: Genotype, *, num_classes: int, budget: int, limits: Limits, price: Price
) -> Guesses:
    """Guesses from all axes grown together, doubling by doubling, until one is hopelessly slow.

    A function of the start, the limits and the points' own latencies, so that no other measurement
    moves it. Unmeasured where the next point has to be measured first.
    """
    family = get_family(start.family)
    base = family.resolve(start, num_classes=num_classes)
    points = [(activations(base), price.of(base))]
    for doubling in range(1, POINTS):
        if points[-1][1] > SLACK * budget:
            break
        found = compound(
            family,
            family.axes,
            start,
            target=points[0][0] * 2**doubling,
            ceiling=None,
            limits=limits,
            num_classes=num_classes,
            price=Price(ACTIVATIONS),
        )
        if isinstance(found, Exhausted) or activations(found.plan) <= points[-1][0]:
            break
        # A larger network that was measured as faster is as fast as the smaller one.
        points.append((activations(found.plan), max(points[-1][1], price.of(found.plan))))
    return Guesses(tuple(points))


def between(points: Sequence[tuple[int, float]], size: int) -> float:
    """The value at `size` on power laws from point to point, proportional beyond them."""
    for (low, at_low), (high, at_high) in itertools.pairwise(points):
        if low <= size <= high and min(at_low, at_high) > 0:
            power = math.log(at_high / at_low) / math.log(high / low)
            return at_low * (size / low) ** power
    nearest, value = min(points, key=lambda point: abs(math.log(point[0] / size)))
    return value * size / nearest
