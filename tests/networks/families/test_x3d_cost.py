"""X3D's arithmetic against the paper's tables and against 150 networks of pytorchvideo."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.core.genotype import Genotype
from expand3d.cost import figures as views
from expand3d.networks import get_preset
from expand3d.networks.families.x3d import FAMILY, X3DPlan
from expand3d.networks.operators import Cost

GOLDEN = Path(__file__).parent / "golden" / "x3d_pytorchvideo_complexity.csv"
with GOLDEN.open() as _file:
    ROWS = list(csv.DictReader(_file))


def published(name: str) -> X3DPlan:
    return FAMILY.resolve(get_preset(name).genotype)


def pytorchvideo_plan(row: dict[str, str]) -> X3DPlan:
    genotype = Genotype(
        "x3d",
        {
            "gamma_tau": 1,
            "gamma_t": int(row["frames"]),
            "gamma_s": int(row["crop"]) / 112,
            "gamma_d": float(row["depth_factor"]),
            "gamma_w": float(row["width_factor"]) / 2,
            "gamma_b": float(row["bottleneck_factor"]),
        },
    )
    return FAMILY.resolve(genotype, num_classes=int(row["num_classes"]), res2_shortcut_bn=False)


def test_the_base_network() -> None:
    cost = FAMILY.cost(published("x2d"))
    assert f"{cost.macs / 1e6:.2f}" == "20.66"  # the paper prints 20.67
    assert f"{cost.params / 1e6:.3f}" == "1.634"


# Frames, crop, gamma_d, gamma_w, gamma_b after each step, and the GMACs of one clip, 400 classes.
TRAJECTORY = [
    (1, 112, 1.0, 1.0, 1.0, "0.02066"),
    (1, 112, 1.0, 1.0, 2.25, "0.0410"),
    (2, 112, 1.0, 1.0, 2.25, "0.0802"),
    (2, 160, 1.0, 1.0, 2.25, "0.1534"),
    (2, 160, 2.2, 1.0, 2.25, "0.3036"),
    (4, 160, 2.2, 1.0, 2.25, "0.6053"),
    (8, 160, 2.2, 1.0, 2.25, "1.2087"),
    (16, 160, 2.2, 1.0, 2.25, "2.4154"),
    (13, 160, 2.2, 1.0, 2.25, "1.9629"),
    (16, 224, 2.2, 1.0, 2.25, "4.7325"),
    (16, 312, 2.2, 1.0, 2.25, "9.4516"),
    (16, 312, 5.0, 1.0, 2.25, "18.3677"),
    (16, 312, 5.0, 1.45, 2.25, "35.8376"),
]


@pytest.mark.parametrize(("frames", "crop", "depth", "width", "inner", "gmacs"), TRAJECTORY)
def test_the_published_trajectory(
    frames: int, crop: int, depth: float, width: float, inner: float, gmacs: str
) -> None:
    genotype = FAMILY.base.replace(
        gamma_t=frames, gamma_s=crop / 112, gamma_d=depth, gamma_w=width, gamma_b=inner
    )
    digits = len(gmacs.partition(".")[2])
    assert f"{FAMILY.cost(FAMILY.resolve(genotype)).macs / 1e9:.{digits}f}" == gmacs


# Name, GMACs at the train crop, 30-view crop, GMACs there (digits as printed), parameters in
# millions with and without BatchNorm's affine pair.
MODELS = [
    ("x3d-xs", "0.6053", 182, "0.8388", "3.794", "3.763"),
    ("x3d-s", "1.9629", 182, "2.7219", "3.794", "3.763"),
    ("x3d-m", "4.7325", 256, "6.1806", "3.794", "3.763"),
    ("x3d-l", "18.3677", 356, "24.764", "6.153", "6.087"),
    ("x3d-xl", "35.8376", 356, "48.407", "11.096", "11.000"),
]


@pytest.mark.parametrize(("name", "gmacs", "crop", "wide", "params", "bare"), MODELS)
def test_the_published_models(
    name: str, gmacs: str, crop: int, wide: str, params: str, bare: str
) -> None:
    plan = published(name)
    cost = FAMILY.cost(plan)
    assert f"{cost.macs / 1e9:.4f}" == gmacs
    assert f"{cost.params / 1e6:.3f}" == params
    assert f"{cost.params_without_bn / 1e6:.3f}" == bare
    assert views.wide_crop(plan) == crop
    digits = len(wide.partition(".")[2])
    assert f"{FAMILY.cost(plan, crop=crop).macs / 1e9:.{digits}f}" == wide


# What the paper prints. Its 30-view column is rounded to one digit and L's parameters cut off.
PAPER = [
    ("x3d-xs", 0.60, None, 3.76),
    ("x3d-s", 1.96, 2.7, 3.76),
    ("x3d-m", 4.73, 6.2, 3.76),
    ("x3d-l", 18.37, 24.8, 6.08),
    ("x3d-xl", 35.84, 48.4, 11.0),
]


@pytest.mark.parametrize(("name", "gmacs", "wide", "params"), PAPER)
def test_what_the_paper_prints(name: str, gmacs: float, wide: float | None, params: float) -> None:
    plan = published(name)
    figures = views.figures(plan)
    assert figures["macs"] is not None and figures["macs_test_crop"] is not None
    assert figures["macs"] / 1e9 == pytest.approx(gmacs, abs=0.0055)
    if wide is not None:
        assert round(figures["macs_test_crop"] / 1e9, 1) == wide
    assert (figures["params_without_bn"] or 0) / 1e6 == pytest.approx(params, abs=0.0075)


def test_pytorchvideo_totals_of_all_150_networks() -> None:
    assert len(ROWS) == 150
    for row in ROWS:
        cost = FAMILY.cost(pytorchvideo_plan(row))
        assert (cost.fvcore_flops, cost.params) == (int(row["flops"]), int(row["params"])), row


def test_the_variant_is_what_pytorchvideo_builds() -> None:
    for row in ROWS:
        theirs = pytorchvideo_plan(row)
        ours = dataclasses.replace(theirs, res2_shortcut_bn=True)
        assert FAMILY.variants["pytorchvideo"](ours) == theirs
        assert FAMILY.cost(ours).params == int(row["params"]) + 2 * theirs.widths[0]


def test_each_stage_adds_up_to_the_whole() -> None:
    cost = FAMILY.cost(published("x3d-m"))
    stages = cost.by_stage()
    assert list(stages) == ["conv1", "res2", "res3", "res4", "res5", "conv5", "fc1", "fc2"]
    for key, value in cost.totals().items():
        if key != "memory":  # a peak, which is no sum
            assert sum(stage[key] for stage in stages.values()) == value
    # By hand: conv1 is 24 x 3 x 3 x 3 weights, then 24 x 5, at 16 x 112 x 112 positions.
    assert stages["conv1"]["macs"] == (24 * 27 + 24 * 5) * 16 * 112 * 112
    assert stages["conv1"]["activations"] == 2 * 24 * 16 * 112 * 112
    assert stages["fc2"]["macs"] == 2048 * 400
    assert stages["fc2"]["params"] == 2048 * 400 + 400


_genotypes = st.builds(
    lambda values: Genotype("x3d", dict(zip(FAMILY.axes, values, strict=True))),
    st.tuples(
        st.integers(1, 9),
        st.integers(1, 32),
        st.floats(0.3, 3),
        st.floats(0.2, 5),
        st.floats(0.34, 4),
        st.floats(0.25, 5),
    ),
)


@given(_genotypes, st.integers(1, 700), st.booleans(), st.none() | st.integers(20, 400))
def test_totals_in_closed_form_are_the_sums_over_the_layers(
    genotype: Genotype, classes: int, shortcut_bn: bool, crop: int | None
) -> None:
    plan = FAMILY.resolve(genotype, num_classes=classes, res2_shortcut_bn=shortcut_bn)
    found = FAMILY.cost(plan, crop=crop)
    summed = Cost(found.operators)
    assert found.totals() == summed.totals()
    assert found.largest_output == summed.largest_output
