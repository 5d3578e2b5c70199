"""The non-dominated networks, and one number for how much they dominate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Point(NamedTuple):
    """A network's place: accuracy (0 to 1, more is better) and cost (less is better)."""

    accuracy: float
    cost: float


def frontier(points: Sequence[Point]) -> list[int]:
    """Positions in `points` of those that no other dominates, cheapest first; O(n log n).

    A point dominates another when it is no worse in both and better in one. Of equal points the
    first stands for all.
    """
    kept: list[int] = []
    best = -math.inf
    for place in sorted(range(len(points)), key=lambda i: (points[i].cost, -points[i].accuracy, i)):
        if points[place].accuracy > best:
            best = points[place].accuracy
            kept.append(place)
    return kept


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Area that `points` dominate up to `reference`, in accuracy x decades of cost.

    Cost is taken on a log10 axis, as it is drawn. Points that are less accurate or costlier than
    the reference add nothing. It grows only when the frontier does, so it compares runs that share
    a reference.
    """
    area = 0.0
    reached = reference.accuracy
    for place in frontier(points):
        point = points[place]
        if point.cost >= reference.cost:
            break
        if point.accuracy > reached:
            decades = math.log10(reference.cost / point.cost)
            area += (point.accuracy - reached) * decades
            reached = point.accuracy
    return area
