"""The order of networks by fronts, against fronts and distances that are computed anew."""

from __future__ import annotations

import math

import numpy as np
import pytest

from expand3d.search.fronts import by_fronts, epsilon_net, layers


def brute_fronts(prices: list[int], gains: list[float]) -> list[set[int]]:
    """Each front: those that none of the rest is better than in one way and no worse in the other.

    No two of these networks are equal in both.
    """
    left, found = set(range(len(prices))), []
    while left:
        front = {
            i
            for i in left
            if not any(j != i and prices[j] <= prices[i] and gains[j] >= gains[i] for j in left)
        }
        found.append(front)
        left -= front
    return found


@pytest.mark.parametrize("seed", range(20))
def test_fronts_and_their_order_are_those_of_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prices = [int(price) for price in rng.integers(10, 30, 24)]
    gains = [float(gain) for gain in rng.permutation(24) / 24]
    fronts = [list(front) for front in layers(prices, gains)]
    assert [set(front) for front in fronts] == brute_fronts(prices, gains)
    order = by_fronts(prices, gains)
    assert sorted(order) == list(range(24))
    for front in fronts:
        placed, order = order[: len(front)], order[len(front) :]
        assert set(placed) == set(front)
        assert gains[placed[0]] == max(gains[place] for place in front)
        points = np.array([[math.log(prices[place]), gains[place]] for place in placed])
        if len(placed) > 1:
            points = (points - points.min(axis=0)) / (points.max(axis=0) - points.min(axis=0))
        for count in range(1, len(placed)):
            away = [min(np.linalg.norm(p - q) for q in points[:count]) for p in points[count:]]
            assert away[0] >= max(away) - 1e-9


def test_a_front_by_hand() -> None:
    """Costs of 1, 2, 4 and 16 are at 0, 1/4, 1/2 and 1; the middle two are equally far then."""
    prices, gains = [1, 2, 4, 16], [0.0, 0.5, 0.75, 1.0]
    assert epsilon_net([0, 1, 2, 3], prices, gains) == [3, 0, 2, 1]


def test_equal_networks_are_of_two_fronts_and_one_alone_needs_no_scale() -> None:
    assert [list(front) for front in layers([5, 5, 7], [0.2, 0.2, 0.1])] == [[0], [1], [2]]
    assert by_fronts([5], [0.3]) == [0]
    assert by_fronts([], []) == []
