"""create_x3d's arguments: the published ones, found ones, and plans that it cannot express."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.core.errors import ExportError
from expand3d.interop.pytorchvideo.multipliers import create_x3d_arguments
from expand3d.networks.families.x3d import FAMILY, PRESETS, X3DPlan


def peers_width(width: float, multiplier: float) -> int:
    """pytorchvideo 0.1.5 layers/utils.py round_width with its defaults."""
    width *= multiplier
    out = max(8, int(width + 8 / 2) // 8 * 8)
    return out + 8 if out < 0.9 * width else out


def peers_integers(arguments: dict[str, Any]) -> dict[str, Any]:
    """The integers that create_x3d makes of its arguments (models/x3d.py)."""
    widths = tuple(peers_width(w, arguments["width_factor"]) for w in (12, 24, 48, 96))
    inners = tuple(int(arguments["bottleneck_factor"] * width) for width in widths)
    return {
        "stem": peers_width(12, arguments["width_factor"]),
        "widths": widths,
        "inners": inners,
        "depths": tuple(math.ceil(arguments["depth_factor"] * n) for n in (1, 2, 5, 3)),
        "se_widths": tuple(peers_width(inner, arguments["se_ratio"]) for inner in inners),
        "conv5": inners[-1],
        "lin5": arguments["head_dim_out"],
        "frames": arguments["input_clip_length"],
        "crop": arguments["input_crop_size"],
        "num_classes": arguments["model_num_class"],
    }


def assert_expresses(arguments: dict[str, Any], plan: X3DPlan) -> None:
    got = peers_integers(arguments)
    assert got == {field: getattr(plan, field) for field in got}


#: pytorchvideo's model zoo: width, depth and bottleneck factor.
ZOO = {
    "x3d-xs": (2.0, 2.2, 2.25, 4, 160),
    "x3d-s": (2.0, 2.2, 2.25, 13, 160),
    "x3d-m": (2.0, 2.2, 2.25, 16, 224),
    "x3d-l": (2.0, 5.0, 2.25, 16, 312),
}


@pytest.mark.parametrize("name", ZOO)
def test_presets_are_the_zoos(name: str) -> None:
    genotype = PRESETS[name].genotype
    found = create_x3d_arguments(FAMILY.resolve(genotype), genotype)
    keys = ("width_factor", "depth_factor", "bottleneck_factor")
    clip = (found["input_clip_length"], found["input_crop_size"])
    assert (*(found[key] for key in keys), *clip) == ZOO[name]


genotypes = st.builds(
    lambda w, d, b, t: FAMILY.base.replace(
        gamma_w=w / 100, gamma_d=d / 10, gamma_b=b / 100, gamma_t=t
    ),
    st.integers(34, 400),
    st.integers(2, 60),
    st.integers(25, 500),
    st.integers(1, 16),
)


@given(genotypes)
def test_every_network_of_the_search_is_expressed(genotype: Any) -> None:
    plan = FAMILY.resolve(genotype, num_classes=11)
    assert_expresses(create_x3d_arguments(plan, genotype), plan)


@given(genotypes)
def test_a_spelling_is_found_from_the_integers_alone(genotype: Any) -> None:
    plan = FAMILY.resolve(genotype, num_classes=11)
    assert_expresses(create_x3d_arguments(plan), plan)


def test_the_shortest_spelling_is_found() -> None:
    genotype = PRESETS["x3d-xl"].genotype
    found = create_x3d_arguments(FAMILY.resolve(genotype))
    assert (found["width_factor"], found["bottleneck_factor"]) == (2.9, 2.25)


@pytest.mark.parametrize(
    "field, wanted, nearest",
    [
        ("widths", (24, 40, 96, 192), r"\(24, 48, 96, 192\)"),
        ("depths", (3, 5, 11, 9), r"\(3, 6, 14, 9\)"),
        ("inners", (54, 108, 216, 440), r"\(54, 109, 219, 439\)"),
        ("stem", 32, "24"),
        ("se_widths", (8, 8, 8, 8), r"\(8, 8, 16, 32\)"),
        ("conv5", 500, "432"),
        ("crop", 24, "32"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(field: str, wanted: Any, nearest: str) -> None:
    genotype = PRESETS["x3d-s"].genotype
    plan = dataclasses.replace(FAMILY.resolve(genotype), **{field: wanted})
    with pytest.raises(ExportError, match=f"{field} = .*nearest it builds is {nearest}") as error:
        create_x3d_arguments(plan, genotype)
    assert str(wanted) in str(error.value)
    assert "\n" not in str(error.value)
