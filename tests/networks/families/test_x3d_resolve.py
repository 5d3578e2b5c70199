"""X3D's integers against the paper's tables, and what `resolve` refuses."""

from __future__ import annotations

import itertools
import re

import pytest

from expand3d.core.errors import FactorError
from expand3d.core.genotype import Genotype
from expand3d.networks import all_presets, get_family, get_preset, plan_from_json
from expand3d.networks.factors import round_width
from expand3d.networks.families.x3d import FAMILY
from expand3d.networks.family import Limits

INTEGERS = [
    # name, frames, stride, crop, depths, widths, inner widths
    ("x2d", 1, 1, 112, (1, 2, 5, 3), (24, 48, 96, 192), (24, 48, 96, 192)),
    ("x3d-xs", 4, 12, 160, (3, 5, 11, 7), (24, 48, 96, 192), (54, 108, 216, 432)),
    ("x3d-s", 13, 6, 160, (3, 5, 11, 7), (24, 48, 96, 192), (54, 108, 216, 432)),
    ("x3d-m", 16, 5, 224, (3, 5, 11, 7), (24, 48, 96, 192), (54, 108, 216, 432)),
    ("x3d-l", 16, 5, 312, (5, 10, 25, 15), (24, 48, 96, 192), (54, 108, 216, 432)),
    ("x3d-xl", 16, 5, 312, (5, 10, 25, 15), (32, 72, 136, 280), (72, 162, 306, 630)),
]


@pytest.mark.parametrize(
    ("name", "frames", "stride", "crop", "depths", "widths", "inners"), INTEGERS
)
def test_presets_have_the_published_integers(
    name: str,
    frames: int,
    stride: int,
    crop: int,
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    inners: tuple[int, ...],
) -> None:
    plan = FAMILY.resolve(get_preset(name).genotype)
    assert (plan.frames, plan.stride, plan.crop) == (frames, stride, crop)
    assert (plan.depths, plan.widths, plan.inners) == (depths, widths, inners)
    assert plan.stem == widths[0] and plan.conv5 == inners[-1] and plan.lin5 == 2048
    assert plan.duration == frames * stride


def test_squeeze_widths_are_a_sixteenth_on_a_grid_of_8() -> None:
    assert FAMILY.resolve(get_preset("x3d-s").genotype).se_widths == (8, 8, 16, 32)


@pytest.mark.parametrize(
    ("width", "multiplier", "rounded"),
    # 21.24 to 24; 34.8 to 32 (not below 90%); 69.6 to 72; 139.2 to 136; 278.4 to 280;
    # 11.9 would be 8, which is below 90% of it, so 16.
    [
        (24, 0.885, 24),
        (24, 1.45, 32),
        (48, 1.45, 72),
        (96, 1.45, 136),
        (192, 1.45, 280),
        (11.9, 1, 16),
        (3, 1, 8),
    ],
)
def test_round_width(width: float, multiplier: float, rounded: int) -> None:
    assert round_width(width, multiplier) == rounded


def test_one_frame_has_stride_1_by_definition() -> None:
    strides = [FAMILY.base.replace(gamma_tau=tau) for tau in (1, 5, 30)]
    assert {FAMILY.resolve(genotype).digest for genotype in strides} == {
        FAMILY.resolve(FAMILY.base).digest
    }


def test_every_crop_can_be_said() -> None:
    crops = list(range(32, 897))
    genotypes = [FAMILY.base.replace(gamma_s=crop / 112) for crop in crops]
    assert [FAMILY.resolve(genotype).crop for genotype in genotypes] == crops


def test_other_codebases_spellings() -> None:
    # X3D-M in PySlowFast's and pytorchvideo's words: width 2.0, depth 2.2, bottleneck 2.25, 16 x 5.
    theirs = {
        "frames": 16,
        "frame_stride": 5,
        "crop": 224,
        "width_factor": 2.0,
        "depth_factor": 2.2,
        "bottleneck_factor": 2.25,
    }
    factors = dict(FAMILY.spell(name, value) for name, value in theirs.items())
    assert Genotype("x3d", factors) == get_preset("x3d-m").genotype
    with pytest.raises(FactorError, match=r"'width_facto' \(did you mean 'width_factor'\?\)"):
        FAMILY.spell("width_facto", 2)


def test_a_plan_survives_json() -> None:
    for preset in all_presets().values():
        family = get_family(preset.genotype.family)
        plan = family.resolve(preset.genotype, num_classes=7)
        again = plan_from_json(plan.to_json())
        assert again == plan and again.digest == plan.digest and again.num_classes == 7


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"gama_w": 1.5}, r"no factor 'gama_w' \(did you mean 'gamma_w'\?\)"),
        ({"gamma_w": 9.0}, r"gamma_w = 9 is outside .* nearest legal value is 8"),
        ({"gamma_b": 0.1}, r"gamma_b = 0\.1 is outside .* nearest legal value is 0\.25"),
        ({"gamma_t": 0}, r"gamma_t = 0 is outside 1 to 512; the nearest legal value is 1"),
        ({"gamma_t": 2.4}, r"gamma_t = 2\.4 must be a whole number; the nearest is 2"),
        ({"gamma_tau": 1.5}, r"gamma_tau = 1\.5 must be a whole number"),
        ({"gamma_s": float("nan")}, r"gamma_s = nan is outside"),
    ],
)
def test_resolve_refuses(factors: dict[str, float], message: str) -> None:
    with pytest.raises(FactorError, match=message) as caught:
        FAMILY.resolve(FAMILY.base.replace(**factors))
    assert "\n" not in str(caught.value)


def test_resolve_refuses_missing_factors_and_classes() -> None:
    with pytest.raises(FactorError, match="needs a value for gamma_s, gamma_d"):
        FAMILY.resolve(Genotype("x3d", {"gamma_tau": 1, "gamma_t": 1, "gamma_w": 1, "gamma_b": 1}))
    with pytest.raises(FactorError, match="num_classes = 0 must be at least 1"):
        FAMILY.resolve(FAMILY.base, num_classes=0)


def test_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(FactorError, match=re.escape("unknown family 'x3' (did you mean 'x3d'?)")):
        get_family("x3")
    with pytest.raises(FactorError, match=re.escape("'x3d_s' (did you mean 'x3d-s'?)")):
        get_preset("x3d_s")


# Growth: the paper's temporal bookkeeping (strides as inferred from every published point).


def clip(genotype: Genotype) -> tuple[int, int]:
    return int(genotype["gamma_t"]), int(genotype["gamma_tau"])


def at(frames: int, stride: int) -> Genotype:
    return get_preset("x3d-xs").genotype.replace(gamma_t=frames, gamma_tau=stride)


@pytest.mark.parametrize(
    ("axis", "before", "after"),
    [
        ("gamma_t", (2, 14), (4, 12)),
        ("gamma_tau", (4, 12), (8, 6)),
        ("gamma_t", (8, 6), (16, 5)),
    ],
)
def test_doubling_the_frames(axis: str, before: tuple[int, int], after: tuple[int, int]) -> None:
    grown = [clip(genotype) for genotype in FAMILY.grow(axis, at(*before), Limits())]
    assert [pair for pair in grown if pair[0] == after[0]] == [after]


def test_both_temporal_axes_leave_one_frame_the_same_way() -> None:
    for axis in ("gamma_tau", "gamma_t"):
        assert [clip(grown) for grown in FAMILY.grow(axis, FAMILY.base, Limits())] == [(2, 14)]
        short = Limits(duration=10)
        assert [clip(grown) for grown in FAMILY.grow(axis, FAMILY.base, short)] == [(2, 5)]
        assert list(FAMILY.grow(axis, FAMILY.base, Limits(duration=1))) == []


def test_contraction_of_frames_keeps_the_duration() -> None:
    shrunk = dict(clip(genotype) for genotype in FAMILY.shrink("gamma_t", at(16, 5)))
    assert shrunk[13] == 6
    assert shrunk[8] == 10
    assert shrunk[1] == 1


def test_axes_end_where_the_data_ends() -> None:
    limits = Limits(crop=200, duration=60)
    crops = [
        FAMILY.resolve(genotype).crop
        for genotype in FAMILY.grow("gamma_s", get_preset("x3d-xs").genotype, limits)
    ]
    assert crops == [168, 176, 184, 192, 200]
    for axis in ("gamma_t", "gamma_tau"):
        for genotype in FAMILY.grow(axis, at(4, 12), limits):
            frames, stride = clip(genotype)
            assert stride >= 1 and frames * stride <= 60
    assert list(FAMILY.grow("gamma_tau", at(16, 1), limits)) == []


@pytest.mark.parametrize("axis", FAMILY.axes)
def test_one_axis_moves_and_the_cost_with_it(axis: str) -> None:
    start = get_preset("x3d-s").genotype
    cost = FAMILY.cost(FAMILY.resolve(start)).macs
    temporal = {"gamma_t", "gamma_tau"}
    for direction, genotypes in (
        (1, FAMILY.grow(axis, start, Limits())),
        (-1, FAMILY.shrink(axis, start)),
    ):
        costs = [cost]
        for genotype in itertools.islice(genotypes, 60):
            changed = {name for name in start.factors if genotype[name] != start[name]}
            assert changed and changed <= (temporal if axis in temporal else {axis})
            costs.append(FAMILY.cost(FAMILY.resolve(genotype)).macs)
        assert costs == sorted(costs, reverse=direction < 0)
        assert costs[-1] != cost
