"""Candidates that a race drops, and how seldom wrongly."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from expand3d.search.racing import losers

CLIPS, OF_A_GROUP = 120, 3
GROUPS = np.arange(CLIPS) // OF_A_GROUP


def scored(
    rng: np.random.Generator, means: list[float], *, spread: float, seeds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Losses of networks on clips, whose groups and seeds shift them."""
    clips = rng.normal(1.5, 0.5, CLIPS)  # hard and easy ones, the same for all
    of_groups = rng.normal(0, 0.3, (len(means), CLIPS // OF_A_GROUP))[:, GROUPS]
    noise = rng.normal(0, 0.4, (len(means), CLIPS))
    return np.array(means)[:, None] + clips + of_groups + noise + spread * seeds[:, None]


@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_of_equal_candidates_one_is_dropped_in_less_than_a_twentieth_of_races(
    spread: float,
) -> None:
    """Six equal candidates, looked at four times; the first of them stands for the best."""
    rng, dropped, races = np.random.default_rng(1), 0, 800
    for _ in range(races):
        for _ in range(4):  # every look has seeds of its own, which is the worst case
            losses = scored(rng, [0.0] * 6, spread=spread, seeds=rng.normal(0, 1, 6))
            if 0 in losers(losses, GROUPS, spread=spread, looks=4, field=6):
                dropped += 1
                break
    assert dropped / races < 0.05


def test_without_the_spread_of_seeds_good_ones_would_be_dropped() -> None:
    rng, dropped, races = np.random.default_rng(2), 0, 200
    for _ in range(races):
        losses = scored(rng, [0.0] * 6, spread=0.3, seeds=rng.normal(0, 1, 6))
        dropped += 0 in losers(losses, GROUPS, spread=0.0, looks=1, field=6)
    assert dropped / races > 0.2


def test_much_worse_ones_are_dropped_and_the_leader_never_is() -> None:
    rng = np.random.default_rng(3)
    losses = scored(rng, [0.5, 0.0, 0.02, 0.6], spread=0.0, seeds=np.zeros(4))
    assert losers(losses, GROUPS, spread=0.02, looks=4, field=4) == (0, 3)
    assert losers(losses, GROUPS, spread=1.0, looks=4, field=4) == ()
    assert losers(losses[:1], GROUPS, spread=0.0, looks=4, field=4) == ()


def test_a_difference_is_judged_by_groups_and_by_how_often_they_are_drawn() -> None:
    """Two groups that differ by as much as they like are one piece of evidence each."""
    losses = np.zeros((2, 40))
    losses[1] = np.r_[np.full(20, 1.0), np.full(20, 0.2)]
    halves = np.repeat([0, 1], 20)
    assert losers(losses, halves, spread=0.0, looks=1, field=2) == ()
    assert losers(losses, np.arange(40), spread=0.0, looks=1, field=2) == (1,)
    once = np.r_[np.ones(20), np.zeros(20)]
    assert losers(losses, halves, spread=0.0, looks=1, field=2, weights=once) == ()


@pytest.mark.parametrize("seeds", [3, 6])
def test_a_spread_that_few_seeds_gave_ends_no_more_races_wrongly(seeds: int) -> None:
    """The spread is estimated anew in each race from so many seeds, and is most of the noise."""
    rng, dropped, races, spread = np.random.default_rng(4), 0, 800, 0.2
    for _ in range(races):
        found = float(np.std(rng.normal(0, spread, seeds), ddof=1))
        losses = scored(rng, [0.0] * 6, spread=spread, seeds=rng.normal(0, 1, 6))
        lost = losers(losses, GROUPS, spread=found, freedom=seeds - 1, looks=1, field=6)
        dropped += 0 in lost
    assert dropped / races < 0.05


def test_few_seeds_prove_less_than_many() -> None:
    rng = np.random.default_rng(5)
    losses = scored(rng, [0.0, 0.75], spread=0.0, seeds=np.zeros(2))
    assert losers(losses, GROUPS, spread=0.1, freedom=100, looks=3, field=6) == (1,)
    assert losers(losses, GROUPS, spread=0.1, freedom=2, looks=3, field=6) == ()
