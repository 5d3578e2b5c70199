"""Solving axes on the cost twin: the paper's settings, exact closeness, limits and ends."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expand3d.core.genotype import Genotype
from expand3d.networks import get_family
from expand3d.networks.family import Limits
from expand3d.search.expansion.solve import Exhausted, Solution, contract, solve
from tests.helpers.examples import examples

X3D = get_family("x3d")
WIDE = Limits(crop=448, duration=300)


def network(*factors: float) -> Genotype:
    """Frames, stride, crop, depth, width, bottleneck, as papers write them."""
    frames, stride, crop, depth, width, bottleneck = factors
    return Genotype(
        "x3d",
        {
            "gamma_t": frames,
            "gamma_tau": stride,
            "gamma_s": crop / 112,
            "gamma_d": depth,
            "gamma_w": width,
            "gamma_b": bottleneck,
        },
    )


def macs(genotype: Genotype) -> int:
    return X3D.cost(X3D.resolve(genotype)).macs


def twice(genotype: Genotype, axis: str, **changed: object) -> Solution | Exhausted:
    options = {"ceiling": None, "limits": WIDE, "num_classes": 400, **changed}
    target = options.pop("target", 2 * macs(genotype))
    return solve(X3D, axis, genotype, target=target, **options)  # type: ignore[arg-type]


def solved(genotype: Genotype, axis: str, **changed: object) -> Solution:
    found = twice(genotype, axis, **changed)
    assert isinstance(found, Solution), found
    return found


# The states after steps 0 to 10 of the published trajectory.
STATES = [
    network(1, 1, 112, 1, 1, 1),
    network(1, 1, 112, 1, 1, 2.25),
    network(2, 14, 112, 1, 1, 2.25),
    network(2, 14, 160, 1, 1, 2.25),
    network(2, 14, 160, 2.2, 1, 2.25),
    network(4, 12, 160, 2.2, 1, 2.25),
    network(8, 6, 160, 2.2, 1, 2.25),
    network(16, 5, 160, 2.2, 1, 2.25),
    network(16, 5, 224, 2.2, 1, 2.25),
    network(16, 5, 312, 2.2, 1, 2.25),
    network(16, 5, 312, 5, 1, 2.25),
]


@pytest.mark.parametrize(
    ("state", "axis", "clip"),
    [
        (1, "gamma_tau", (2, 14)),
        (1, "gamma_t", (2, 14)),
        (4, "gamma_t", (4, 12)),
        (5, "gamma_tau", (8, 6)),
        (6, "gamma_t", (16, 5)),
    ],
)
def test_temporal_steps_are_the_published_ones(
    state: int, axis: str, clip: tuple[int, int]
) -> None:
    plan = solved(STATES[state], axis).plan
    assert (plan.frames, plan.stride) == clip


def test_contraction_keeps_the_duration() -> None:
    found = contract(X3D, "gamma_t", STATES[7], budget=2_000_000_000, limits=WIDE, num_classes=400)
    assert isinstance(found, Solution)
    assert (found.plan.frames, found.plan.stride, found.plan.crop) == (13, 6, 160)
    assert f"{found.macs / 1e9:.4f}" == "1.9629"


@pytest.mark.parametrize(("state", "crop"), [(2, 160), (7, 224), (8, 312)])
def test_crops_are_the_published_ones(state: int, crop: int) -> None:
    assert solved(STATES[state], "gamma_s").plan.crop == crop


@pytest.mark.parametrize(
    ("state", "depths"), [(3, (3, 5, 11, 7)), (9, (5, 10, 25, 15))]
)  # XS to M, and L
def test_depths_are_the_published_ones(state: int, depths: tuple[int, ...]) -> None:
    assert solved(STATES[state], "gamma_d").plan.to_json()["depths"] == depths


def test_bottleneck_and_width_are_near_the_published_ones() -> None:
    assert solved(STATES[0], "gamma_b").genotype["gamma_b"] == 2.28  # the paper stops at 2.25
    wider = solved(STATES[10], "gamma_w")
    assert wider.genotype["gamma_w"] == 1.46  # 2.92 in units of 12 channels; the paper's 2.9
    assert wider.plan.to_json()["widths"][2] == 144  # for 136


@pytest.mark.parametrize("axis", X3D.axes)
@pytest.mark.parametrize("state", range(len(STATES)))
def test_twice_the_cost_is_met_from_every_published_state(state: int, axis: str) -> None:
    found = solved(STATES[state], axis)
    assert found.macs == macs(found.genotype)
    assert found.closeness == found.macs / (2 * macs(STATES[state]))
    assert 1.88 <= found.macs / macs(STATES[state]) <= 2.08


@pytest.mark.parametrize("axis", X3D.axes)
def test_no_setting_of_the_axis_is_nearer(axis: str) -> None:
    for state in (STATES[0], STATES[2], STATES[5]):
        target = round(1.7 * macs(state))
        found = solved(state, axis, target=target)
        nearest = min(
            abs(math.log(macs(setting) / target)) for setting in X3D.grow(axis, state, WIDE)
        )
        assert abs(math.log(found.macs / target)) == nearest


genotypes = st.builds(
    network,
    st.integers(1, 40),
    st.integers(1, 20),
    st.sampled_from(range(64, 321, 8)),
    st.sampled_from([1.0, 1.3, 2.2, 3.7]),
    st.sampled_from([0.5, 1.0, 1.45, 2.0]),
    st.sampled_from([1.0, 1.5, 2.25, 4.0]),
)
limits = st.builds(
    Limits,
    crop=st.integers(64, 1080),
    duration=st.integers(1, 2000),
    first_clip=st.sampled_from([(2, 14), (4, 3)]),
)


@settings(max_examples=examples(60), deadline=None)
@given(genotypes, st.sampled_from(X3D.axes), limits, st.floats(1.01, 4), st.floats(0.5, 3))
def test_ceiling_limits_and_growth_hold(
    genotype: Genotype, axis: str, limits: Limits, ratio: float, room: float
) -> None:
    now = macs(genotype)
    target, ceiling = round(ratio * now), round(room * ratio * now)
    found = twice(genotype, axis, target=target, ceiling=ceiling, limits=limits)
    if isinstance(found, Exhausted):
        assert found.reason
        return
    assert 1.05 * now <= found.macs <= ceiling
    before = X3D.resolve(genotype)
    assert found.plan.crop <= max(before.crop, limits.crop)
    assert found.plan.duration <= max(before.duration, limits.duration)
    changed = {name for name in X3D.axes if found.genotype[name] != genotype[name]}
    assert changed <= ({"gamma_t", "gamma_tau"} if axis in ("gamma_t", "gamma_tau") else {axis})


@settings(max_examples=examples(25), deadline=None)
@given(genotypes, st.sampled_from(X3D.axes), limits)
def test_settings_grow_ever_costlier(genotype: Genotype, axis: str, limits: Limits) -> None:
    costs = [macs(setting) for setting in list(X3D.grow(axis, genotype, limits))[::7]]
    assert costs == sorted(costs)
    assert all(cost >= macs(genotype) for cost in costs)


@settings(max_examples=examples(25), deadline=None)
@given(genotypes, st.sampled_from(X3D.axes), st.floats(0.3, 1.0))
def test_contraction_is_the_costliest_within_the_budget(
    genotype: Genotype, axis: str, share: float
) -> None:
    budget = round(share * macs(genotype))
    found = contract(X3D, axis, genotype, budget=budget, limits=WIDE, num_classes=400)
    inside = [cost for cost in map(macs, X3D.shrink(axis, genotype)) if cost <= budget]
    if inside:
        assert isinstance(found, Solution) and found.macs == max(inside)
    else:
        assert found == Exhausted("cannot be contracted to lie under the budget")


def test_x_fast_keeps_the_duration_and_x_temporal_lengthens_it() -> None:
    for state in STATES[4:]:
        before = X3D.resolve(state)
        faster, longer = solved(state, "gamma_tau").plan, solved(state, "gamma_t").plan
        # A stride is a whole number: half of 5 is 2.
        assert abs(faster.duration - before.duration) <= faster.frames / 2
        assert faster.frames == longer.frames == 2 * before.frames
        assert longer.duration > before.duration


@pytest.mark.parametrize(
    ("genotype", "axis", "limits", "reason"),
    [
        (STATES[0], "gamma_s", Limits(crop=112), "data ends: crop 112 of 112"),
        (STATES[0], "gamma_s", Limits(crop=96), "data ends: crop 112 of 96"),
        (STATES[0], "gamma_t", Limits(duration=1), "data ends: clips of 1 of 1 frames"),
        (STATES[4], "gamma_t", Limits(duration=28), "data ends: clips of 28 of 28 frames"),
        (network(30, 1, 112, 1, 1, 1), "gamma_tau", WIDE, "stride 1"),
        (network(1, 1, 112, 10, 1, 1), "gamma_d", WIDE, "range ends: gamma_d 10"),
        (network(1, 1, 896, 1, 1, 1), "gamma_s", Limits(crop=1080), "range ends: gamma_s 8"),
    ],
)
def test_an_exhausted_axis_says_why(
    genotype: Genotype, axis: str, limits: Limits, reason: str
) -> None:
    assert twice(genotype, axis, limits=limits) == Exhausted(reason)


def test_an_axis_over_the_budget_says_what_would_come_next() -> None:
    target = round(1.1 * macs(STATES[0]))
    found = twice(STATES[0], "gamma_t", target=target, ceiling=target)
    # 2 x 14 frames at 112: 1.9404 x 20.662304 M.
    assert found == Exhausted("over the budget: the next setting is 40.09 MMACs")


def test_less_than_five_percent_is_exhausted() -> None:
    long = network(16, 5, 112, 1, 1, 1)
    # 16 to 17 frames is 6%, and 25 to 26 is 4%.
    assert isinstance(twice(long, "gamma_t", limits=Limits(duration=85)), Solution)
    longer = network(25, 2, 112, 1, 1, 1)
    assert twice(longer, "gamma_t", limits=Limits(duration=52)) == Exhausted(
        "data ends: clips of 50 of 52 frames"
    )


def test_x_fast_ends_where_the_stride_is_one() -> None:
    """2 x 14 frames are 28 frames long: no more than 28 of them fit, at stride 1."""
    clips = [X3D.resolve(setting) for setting in X3D.grow("gamma_tau", STATES[4], WIDE)]
    assert (clips[-1].frames, clips[-1].stride) == (28, 1)
    assert all(abs(clip.duration - 28) <= clip.frames / 2 for clip in clips)
