"""The space that samplers draw from: its ends, its grid, its sequences."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from expand3d.networks import get_family
from expand3d.networks.family import Limits
from expand3d.search.samplers.space import Dimension, Space, _legal

X3D = get_family("x3d")
LIMITS = Limits(crop=240, duration=90)


def of(budget: int = 300_000_000, start: str | None = None, limits: Limits = LIMITS) -> Space:
    genotype = X3D.presets[start].genotype if start else X3D.base
    return Space("x3d", genotype, 6, budget, limits)


def ends(space: Space) -> dict[str, tuple[float, float]]:
    return {d.factor: (d.value(d.low), d.value(d.high)) for d in space.dimensions}


def test_each_factor_ends_where_it_alone_uses_up_the_budget() -> None:
    found = ends(of())
    for axis in ("gamma_s", "gamma_d", "gamma_w", "gamma_b"):
        # The family's own steps of the axis, one by one, instead of the bisection.
        legal = [
            setting[axis]
            for setting in X3D.grow(axis, X3D.base, LIMITS)
            if X3D.cost(X3D.resolve(setting, num_classes=6)).macs <= 300_000_000
        ]
        assert found[axis] == (1.0, max(legal))


def test_time_ends_where_the_data_does() -> None:
    found = ends(of(10**11))
    assert found["gamma_t"] == (1, 90)
    # A stride means nothing to one frame; two frames reach 45 apart in 90.
    assert found["gamma_tau"] == (1, 45)
    assert ends(of(10**11, limits=Limits(crop=112, duration=1))).keys() == {
        *("gamma_d", "gamma_w", "gamma_b")
    }


def test_strides_reach_as_far_as_the_first_clip_lets_them() -> None:
    # Frames that are first taken eight at a time are at most 11 apart in 90.
    limits = dataclasses.replace(LIMITS, first_clip=(8, 5))
    assert ends(of(10**11, limits=limits))["gamma_tau"] == (1, 90 // 8)


def test_the_space_begins_at_the_start_but_a_stride_turns_both_ways() -> None:
    found = ends(of(10**10, "x3d-m", Limits(crop=312, duration=160)))
    assert found["gamma_t"][0] == 16 and found["gamma_s"][0] == 2.0
    assert (found["gamma_d"][0], found["gamma_b"][0]) == (2.2, 2.25)
    assert found["gamma_tau"] == (1, 10)  # 16 frames in 160


def test_values_are_exact_quotients() -> None:
    space = of()
    depth = next(d for d in space.dimensions if d.factor == "gamma_d")
    # 14 x 0.1 is a little over 1.4 in floating point, and five blocks times that would be eight.
    assert depth.value(14) == 1.4
    crops = [s["gamma_s"] for s in X3D.grow("gamma_s", X3D.base, LIMITS)]
    side = next(d for d in space.dimensions if d.factor == "gamma_s")
    assert [side.value(place) for place in range(15, 31)] == crops[:16]


def test_a_genotype_and_its_places_are_the_same() -> None:
    space = of()
    for verdict in itertools.islice(space.legal("random", 0, blocks=1), 20):
        assert space.genotype(space.places(verdict.genotype)) == verdict.genotype


def test_a_verdict_names_the_limit() -> None:
    space = of()
    assert space.judge(X3D.base).reason is None
    assert space.judge(X3D.base.replace(gamma_w=8.0)).reason == "cost"
    assert space.judge(X3D.base.replace(gamma_t=4, gamma_tau=23)).reason == "duration"
    assert space.judge(X3D.base.replace(gamma_t=4, gamma_tau=22)).reason is None
    assert of(10**11).judge(X3D.base.replace(gamma_s=2.5)).reason == "crop"
    assert space.judge(X3D.base.replace(gamma_w=99.0)).plan is None


@pytest.mark.parametrize("log", [False, True])
def test_shares_spread_over_every_step(log: bool) -> None:
    from fractions import Fraction

    import numpy as np

    steps = Dimension("f", Fraction(1), 1, 64, log).spread(np.linspace(0, 1, 10_001))
    assert (steps.min(), steps.max()) == (1, 64)
    assert set(steps) == set(range(1, 65))
    below = (steps <= 8).mean()
    # Evenly, an eighth lies at 8 or below; by ratio it is log(8.5 / 0.5) / log(64.5 / 0.5).
    assert below == pytest.approx(0.583 if log else 0.125, abs=0.002)


def test_random_and_sobol_points_are_legal_and_differ_by_seed() -> None:
    space = of()
    for order in ("random", "qmc"):
        first, again, other = (
            [v.genotype for v in space.legal(order, seed, blocks=2)]  # type: ignore[arg-type]
            for seed in (0, 0, 1)
        )
        assert first == again and not set(first) & set(other)
        refused = space.refused(order, 0, blocks=2)  # type: ignore[arg-type]
        assert refused.total() + len(first) == 2 * 4096


def test_points_that_are_not_judged_would_not_have_been_legal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for budget in (60_000_000, 10**9):
        monkeypatch.setattr("expand3d.search.samplers.space.BLOCK", 1024)
        _legal.cache_clear()
        monkeypatch.setattr("expand3d.search.samplers.space.HOPELESS", 1.3)
        first = [v.genotype for v in of(budget).legal("random", 5, blocks=1)]
        _legal.cache_clear()
        monkeypatch.setattr("expand3d.search.samplers.space.HOPELESS", 99.0)
        assert [v.genotype for v in of(budget).legal("random", 5, blocks=1)] == first
    _legal.cache_clear()


def test_near_misses_are_over_a_limit_and_near() -> None:
    missed = of().near_misses(16)
    assert len(missed) == 16
    assert all(0 < max(v.excess.values()) < 1 for v in missed)


def test_a_grid_is_as_fine_as_its_size_allows() -> None:
    space = of()
    for most in (1, 12, 40):
        found = space.grid(most)
        assert len(found) <= most and found[0].genotype == X3D.base
        assert [v.price for v in found] == sorted(v.price for v in found)
        assert all(v.reason is None for v in found)
    assert len(space.grid(12)) < len(space.grid(40))
    # One dimension: every depth of the family is a level.
    narrow = dataclasses.replace(space, budget=10**9, limits=Limits(crop=112, duration=1))
    depths = {v.genotype["gamma_d"] for v in narrow.grid(60)}
    assert {1.0, 10.0} <= depths
