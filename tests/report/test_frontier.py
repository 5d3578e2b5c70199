"""The frontier against brute force, the hypervolume against areas counted by hand."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.report.frontier import Point, frontier, hypervolume

points = st.lists(
    st.builds(
        Point, st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.8]), st.sampled_from([1, 2, 5, 10, 40])
    ),
    max_size=30,
)


def dominated(point: Point, others: list[Point]) -> bool:
    """The definition, word for word."""
    return any(
        other.accuracy >= point.accuracy and other.cost <= point.cost and other != point
        for other in others
    )


@given(points)
def test_frontier_is_what_the_definition_says(points: list[Point]) -> None:
    found = frontier(points)
    assert {points[i] for i in found} == {p for p in points if not dominated(p, points)}
    assert [points[i].cost for i in found] == sorted({points[i].cost for i in found})
    for place in found:
        assert points.index(points[place]) == place  # of equal points the first


def test_frontier_of_nothing_is_empty() -> None:
    assert frontier([]) == []


def test_a_costlier_network_of_equal_accuracy_is_dominated() -> None:
    assert frontier([Point(0.5, 20), Point(0.5, 10), Point(0.5, 30)]) == [1]


def test_hypervolume_of_a_staircase() -> None:
    # Reference (0, 1000). At 10 MACs 2 decades are left, at 100 MACs 1: 0.4 x 2 + (0.6 - 0.4) x 1.
    points = [Point(0.4, 10), Point(0.6, 100), Point(0.3, 50), Point(0.9, 2000)]
    assert hypervolume(points, Point(0.0, 1000)) == pytest.approx(1.0)
    # From an accuracy of 0.25 upward: 0.15 x 2 + 0.2 x 1.
    assert hypervolume(points, Point(0.25, 1000)) == pytest.approx(0.5)


@pytest.mark.parametrize("point", [Point(0.5, 1000), Point(0.5, 1001), Point(0.2, 10)])
def test_hypervolume_ignores_what_the_reference_beats(point: Point) -> None:
    assert hypervolume([point], Point(0.2, 1000)) == 0


@given(points)
def test_hypervolume_is_the_share_of_a_grid(points: list[Point]) -> None:
    """Counted on cells between all accuracies and costs that occur, each cell by the definition."""
    reference = Point(0.15, 30)
    heights = sorted({0.15, *(p.accuracy for p in points if p.accuracy > 0.15)})
    costs = sorted({30, *(p.cost for p in points if p.cost < 30)})
    area = 0.0
    for low, high in itertools.pairwise(heights):
        for left, right in itertools.pairwise(costs):
            if any(p.accuracy >= high and p.cost <= left for p in points):
                area += (high - low) * math.log10(right / left)
    assert hypervolume(points, reference) == pytest.approx(area)
