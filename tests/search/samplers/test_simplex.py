"""The space that samplers draw from: a cost, and shares of the growth up to it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from statistics import fmean

import pytest

from expand3d.core.budget import parse_budget
from expand3d.core.quantity import PARAMS
from expand3d.cost.price import IN_MACS, Price
from expand3d.networks import get_family
from expand3d.networks.family import Limits
from expand3d.search.samplers.shares import shared, shares_of
from expand3d.search.samplers.simplex import Simplex, every_axis_costs
from expand3d.search.samplers.space import Space, Verdict
from expand3d.search.samplers.trained import Trained
from expand3d.search.strategy import Given
from expand3d.study.config import StudyConfig

X3D = get_family("x3d")
BUDGET = parse_budget("0.08GFLOPs").macs
START = X3D.cost(X3D.resolve(X3D.base, num_classes=12)).macs


def of(budget: int = BUDGET) -> Simplex:
    return Simplex(Space("x3d", X3D.base, 12, budget, Limits(crop=160, duration=64)))


def drawn(count: int, budget: int = BUDGET) -> list[Verdict]:
    return list(itertools.islice(of(budget).points("random", 0), count))


@pytest.mark.parametrize("count", [250, pytest.param(1000, marks=pytest.mark.slow)])
def test_of_random_networks_at_a_small_budget_a_third_have_several_frames(count: int) -> None:
    """The thousand of the claim; drawn factor by factor nearly all of those exceed the budget."""
    found = drawn(count)
    assert len(found) == count
    assert all(verdict.reason is None and verdict.price <= BUDGET for verdict in found)
    several = sum(verdict.plan.frames > 1 for verdict in found if verdict.plan)
    assert several >= count / 3
    for axis in X3D.axes:  # every factor is grown by many
        assert sum(v.genotype[axis] > X3D.base[axis] for v in found) > 0.15 * count, axis
    at_budget = sum(verdict.price >= BUDGET / 1.05 for verdict in found)
    assert 0.48 <= at_budget / count <= 0.6  # half, and those of the others that come near
    below = [math.log(v.price / START) for v in found if v.price < BUDGET / 1.05]
    assert fmean(below) == pytest.approx(math.log(BUDGET / START) / 2, rel=0.25)


def test_sticks_give_shares_whose_mean_is_equal_and_which_are_sparse() -> None:
    axes = ("a", "b", "c", "d")
    steps = [(k + 0.5) / 12 for k in range(12)]
    every = [shares_of(axes, sticks) for sticks in itertools.product(steps, repeat=3)]
    assert all(sum(shares.values()) == pytest.approx(1) for shares in every)
    for axis in axes:
        assert fmean(shares[axis] for shares in every) == pytest.approx(1 / 4, abs=0.01)
    # The variance of a Dirichlet's share: mean (1 - mean) / (sum of concentrations + 1).
    spread = fmean((shares["a"] - 1 / 4) ** 2 for shares in every)
    assert spread == pytest.approx(0.25 * 0.75 / 3, rel=0.1)


def test_a_share_is_its_axis_part_of_the_growth() -> None:
    simplex = of(10**9)
    target = 8 * START
    for shares in ({"gamma_s": 1 / 3, "gamma_d": 1 / 3, "gamma_w": 1 / 3}, {"gamma_w": 1.0}):
        genotype = shared(simplex.reach, X3D.base, shares, target)
        for axis in X3D.axes:
            alone = X3D.base.replace(**{axis: genotype[axis]})
            grown = X3D.cost(X3D.resolve(alone, num_classes=12)).macs / START
            wanted = 8 ** shares.get(axis, 0)
            assert grown == pytest.approx(wanted, rel=0.25), axis


def test_networks_in_a_row_are_told_by_their_points() -> None:
    simplex = of()
    for verdict in drawn(5):
        assert verdict.point is not None and len(verdict.point) == 6
        params = simplex.params(Trained(verdict.genotype, verdict.price, 0.5, verdict.point))
        assert simplex.judge_params(params) == verdict
    start = simplex.params(Trained(X3D.base, START, 0.1))
    assert simplex.judge_params(start).genotype == X3D.base


def test_a_grid_is_a_lattice_at_levels_of_cost() -> None:
    simplex = of()
    for most in (1, 14, 40):
        found = simplex.grid(most)
        assert len(found) <= most and found[0].genotype == X3D.base
        assert [v.price for v in found] == sorted(v.price for v in found)
        assert all(v.reason is None for v in found)
    assert len(simplex.grid(14)) > 7 and len(simplex.grid(40)) > 20
    # At one part each axis alone takes all of the growth.
    alone = [
        [axis for axis in X3D.axes if v.genotype[axis] != X3D.base[axis]]
        for v in simplex.grid(8)[1:]
    ]
    assert all([axis] in alone for axis in ("gamma_d", "gamma_w", "gamma_b"))
    assert any("gamma_s" in axes for axes in alone)  # which the data ends before the budget


def test_both_sequences_differ_by_seed_and_end_where_nothing_is_new() -> None:
    for order in ("random", "qmc"):
        first, again, other = (
            [v.genotype for v in itertools.islice(of().legal(order, seed, blocks=1), 20)]  # type: ignore[arg-type]
            for seed in (0, 0, 1)
        )
        assert first == again and len(set(first) & set(other)) < 10
    assert len(list(of(START).points("random", 0))) < 400


def test_an_axis_that_costs_nothing_takes_no_share() -> None:
    given = Given(
        StudyConfig(budget="0.08GFLOPs"),
        budget=BUDGET,
        limits=Limits(crop=160, duration=64),
        start=X3D.base,
        num_classes=12,
        metric="nll",
        spend=None,
        price=IN_MACS,
    )
    assert every_axis_costs(given)
    assert not every_axis_costs(replace(given, price=Price(PARAMS)))
