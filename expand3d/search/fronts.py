"""Networks in the order of two objectives at once: front by front, and far from one another.

After MO-ASHA (arXiv 2106.12639), which ranks by non-dominated sorting and orders each front as an
epsilon-net: greedily, the one next that is farthest from all before it. So the first half of a
front stands for all of it, where by accuracy alone only large networks would go on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

#: Digits to which distances are compared, so that equal ones are, however they were computed.
_DIGITS = 12


def by_fronts(prices: Sequence[int], gains: Sequence[float]) -> list[int]:
    """Places of all networks, best first: of the frontier, then of the frontier without it, etc."""
    found = layers(prices, gains)
    return [place for front in found for place in epsilon_net(front, prices, gains)]


def layers(prices: Sequence[int], gains: Sequence[float]) -> Iterator[list[int]]:
    """Places of the frontier's networks, cheapest first, then of the next frontier's.

    Less of the price and more of the gain is better. Of equal networks each stands on a front of
    its own.
    """
    left = sorted(range(len(prices)), key=lambda i: (prices[i], -gains[i], i))
    while left:
        layer: list[int] = []
        for place in left:
            if not layer or gains[place] > gains[layer[-1]]:
                layer.append(place)
        yield layer
        taken = set(layer)
        left = [place for place in left if place not in taken]


def epsilon_net(
    front: Sequence[int], prices: Sequence[int], gains: Sequence[float]
) -> Sequence[int]:
    """The places of a front, that of the highest gain first, then ever the farthest from the rest.

    Distances are in gain and the logarithm of the price, each from 0 to 1 over the front. Of
    equally far ones that of the higher gain comes first.
    """
    across = _scaled([math.log(prices[place]) for place in front])
    up = _scaled([gains[place] for place in front])
    points = list(zip(across, up, strict=True))
    left = sorted(range(len(front)), key=lambda i: -gains[front[i]])
    order = left[:1]
    left = left[1:]
    while left:
        away = [min(math.dist(points[i], points[j]) for j in order) for i in left]
        farthest = max(range(len(left)), key=lambda k: (round(away[k], _DIGITS), -k))
        order.append(left.pop(farthest))
    return [front[place] for place in order]


def _scaled(values: Sequence[float]) -> list[float]:
    """The values from 0 for the least to 1 for the largest; 0 where all are equal."""
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.0 for value in values]
