"""PySlowFast's configs, names and logits, held to what its own code gave."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from expand3d.core.errors import ExportError, WeightsError
from expand3d.interop.pyslowfast import slowfast, x3d
from expand3d.interop.pyslowfast.folder import to_pyslowfast
from expand3d.networks import all_presets, get_family
from expand3d.networks.families.slowfast import SlowFastPlan
from expand3d.networks.families.x3d_plan import X3DPlan
from expand3d.networks.weights import pyslowfast_names as names
from expand3d.networks.weights.checkpoint import read
from expand3d.networks.weights.convert import convert
from expand3d.networks.weights.names import inverse, renamed
from expand3d.networks.weights.x3d_names import from_pytorchvideo
from tests.helpers.peers import assert_logits, filled, golden, tuples

X3D, PTV = golden("pyslowfast_x3d"), golden("pyslowfast_ptvx3d")
SLOWFAST, PTVSLOWFAST = golden("pyslowfast_slowfast"), golden("pyslowfast_ptvslowfast")
#: Rows of networks that are none of ours, and why.
NOT_OURS = {
    "odd-6-bn-lin5": "BatchNorm behind lin5",
    "odd-7-dense": "dense 3x3x3",
    "odd-10-grouped": "grouped 3x3x3",
}
#: Deep or large: their logits take seconds.
SLOW = ("x3d-l", "odd-2-xl-widths", "slowfast-8x8", "slowfast-4x16")
#: The same networks in pytorchvideo's class, whose names the smallest of its rows holds.
SLOW_PTV = ("odd-2", "odd-4")


def x3d_plan(row: dict[str, Any]) -> X3DPlan:
    """Our plan of a row's integers."""
    got, keys = {k: tuples(v) for k, v in row["integers"].items()}, row["config"]
    fields = ("stem", "widths", "inners", "depths", "se_widths", "conv5", "lin5")
    return X3DPlan(
        family="x3d",
        frames=keys["DATA.NUM_FRAMES"],
        stride=2,
        crop=keys["DATA.TRAIN_CROP_SIZE"],
        num_classes=got["classes"],
        **{field: got[field] for field in fields},
        res2_shortcut_bn=row["class"] == "X3D" or got["stem"] != got["widths"][0],
    )


def slowfast_plan(row: dict[str, Any]) -> SlowFastPlan:
    got, keys = {k: tuples(v) for k, v in row["integers"].items()}, row["config"]
    assert got["depths"][0] == got["depths"][1]
    counts = tuple(
        tuple(sum(kernel == 3 for kernel in stage) for stage in pathway)
        for pathway in got["temporal_kernels"]
    )
    return SlowFastPlan(
        family="slowfast",
        frames=keys["DATA.NUM_FRAMES"],
        stride=2,
        crop=keys["DATA.TRAIN_CROP_SIZE"],
        num_classes=got["classes"],
        alpha=got["lateral_stride"],
        stems=got["stem"],
        widths=got["widths"],
        inners=got["inners"],
        depths=got["depths"][0],
        temporal=counts,
        lateral_kernel=got["lateral_kernel"],
        lateral_ratio=got["lateral"][0] // got["stem"][1],
    )


def assert_integers(got: dict[str, Any], row: dict[str, Any]) -> None:
    assert len(got) >= 9
    assert got == {field: tuples(row["integers"][field]) for field in got}


@pytest.mark.parametrize("name", X3D)
def test_x3ds_rounding_is_theirs(name: str) -> None:
    assert_integers(x3d.integers(X3D[name]["config"]), X3D[name])


@pytest.mark.parametrize("name", PTV)
def test_ptvx3ds_rounding_is_theirs(name: str) -> None:
    assert_integers(x3d.integers(PTV[name]["config"]), PTV[name])


@pytest.mark.parametrize("name", SLOWFAST)
def test_slowfasts_rounding_is_theirs(name: str) -> None:
    assert_integers(slowfast.integers(SLOWFAST[name]["config"]), SLOWFAST[name])


@pytest.mark.parametrize("name", PTVSLOWFAST)
def test_ptvslowfasts_rounding_is_theirs(name: str) -> None:
    row = PTVSLOWFAST[name]
    got = slowfast.integers(row["config"])
    windows = got.pop("pool_windows")
    assert_integers(got, row)
    assert windows == slowfast.integers(SLOWFAST[name]["config"])["pool_windows"]


@pytest.mark.parametrize("name", [each for each in X3D if each not in NOT_OURS])
def test_a_spelling_of_every_x3d_is_found_from_its_integers(name: str) -> None:
    row = X3D[name]
    if "X3D.SCALE_RES2" in row["config"]:  # of all rows this one has a stem of its own
        with pytest.raises(ExportError, match=r"PTVX3D cannot express .*nearest it builds is"):
            x3d.config(x3d_plan(row))
        return
    found = x3d.config(x3d_plan(row))
    assert found["MODEL.MODEL_NAME"] == "X3D"
    assert_integers(x3d.integers(found), row)


def test_presets_are_their_shipped_configs() -> None:
    for name in ("x3d-xs", "x3d-s", "x3d-m", "x3d-l"):
        genotype = all_presets()[name].genotype
        found = x3d.config(get_family("x3d").resolve(genotype), genotype)  # type: ignore[arg-type]
        wanted = X3D[name]["config"]
        assert {key: found[key] for key in wanted if key in found} == {
            key: value for key, value in wanted.items() if key != "DATA.TEST_CROP_SIZE"
        }


def test_what_pytorchvideo_alone_rounds_to_is_its_class() -> None:
    """X3D-XL's widths are multiples of 8 there, and single channels in PySlowFast's own class."""
    genotype = all_presets()["x3d-xl"].genotype
    found = x3d.config(get_family("x3d").resolve(genotype), genotype)  # type: ignore[arg-type]
    assert found["MODEL.MODEL_NAME"] == "PTVX3D"
    keys = ("X3D.WIDTH_FACTOR", "X3D.DEPTH_FACTOR", "X3D.BOTTLENECK_FACTOR")
    assert [found[key] for key in keys] == [2.9, 5.0, 2.25]
    assert_integers(
        x3d.integers({**found, "DATA.NUM_FRAMES": 4, "DATA.TRAIN_CROP_SIZE": 96}) | {"classes": 60},
        PTV["odd-2-xl-widths"],
    )


def test_another_dim_c1_spells_widths_that_twelve_does_not() -> None:
    """24 x 2.5 in multiples of 8: 64, 120, 240, 480."""
    family = get_family("x3d")
    plan = family.resolve(family.base.replace(gamma_w=2.5))
    assert isinstance(plan, X3DPlan) and plan.widths == (64, 120, 240, 480)
    found = x3d.config(plan)
    assert (found["X3D.DIM_C1"], found["X3D.WIDTH_FACTOR"]) == (17, 3.75)


@pytest.mark.parametrize("name", SLOWFAST)
def test_slowfasts_spelling_is_theirs_or_refused_by_name(name: str) -> None:
    row = SLOWFAST[name]
    if name == "odd-3-r18-crop-112":
        with pytest.raises(
            ExportError, match=r"crop = 112 by .*; the nearest it builds is (96|128)"
        ):
            slowfast.config(slowfast_plan(row))
        return
    found = slowfast.config(slowfast_plan(row))
    assert_integers(slowfast.integers(found), row)


def test_ptvslowfast_is_taken_where_slowfast_does_not_fit_together() -> None:
    """8 // 3 = 2: SlowFast would make 64 + 64 / 2 channels of 64 + 3 x 8."""
    plan = slowfast_plan(SLOWFAST["slowfast-4x16-r50"])
    assert slowfast.config(plan)["MODEL.MODEL_NAME"] == "SlowFast"
    three = dataclasses.replace(plan, lateral_ratio=3)
    assert slowfast.config(three)["MODEL.MODEL_NAME"] == "PTVSlowFast"
    shallow = dataclasses.replace(three, depths=(2, 2, 2, 2), temporal=((0, 0, 2, 2), (2, 2, 2, 2)))
    with pytest.raises(ExportError, match="lateral_ratio = 3"):  # it knows R50 and R101 alone
        slowfast.config(shallow)


@pytest.mark.parametrize(
    ("field", "wanted", "nearest"),
    [
        ("frames", 30, "24"),
        ("lateral_ratio", 0, "1"),
        ("depths", (3, 4, 8, 3), r"\(\(3, 4, 6, 3\), \(3, 4, 6, 3\)\)"),
        ("stems", (64, 9), r"\(64, 8\)"),
    ],
)
def test_slowfast_refuses_by_name(field: str, wanted: Any, nearest: str) -> None:
    plan = slowfast_plan(SLOWFAST["slowfast-4x16-r50"])
    changed = dataclasses.replace(plan, **{field: wanted})
    if field == "depths":
        changed = dataclasses.replace(changed, temporal=((0, 0, 6, 3), (3, 4, 6, 3)))
    named = field.removesuffix("s") if field == "stems" else field
    with pytest.raises(ExportError, match=f"{named} = .*nearest it builds is {nearest}"):
        slowfast.config(changed)


ROWS = [
    *(("X3D", name) for name in X3D if name not in NOT_OURS),
    # It passes over the key that makes the other class dense.
    *(("PTVX3D", name) for name in PTV if name != "odd-6-bn-lin5"),
    *(("SlowFast", name) for name in SLOWFAST),
    *(("PTVSlowFast", name) for name in PTVSLOWFAST),
]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, marks=[pytest.mark.slow] if slow else [])
        for kind, name in ROWS
        for slow in [name.startswith(SLOW) or (kind == "PTVSlowFast" and name.startswith(SLOW_PTV))]
    ],
)
def test_their_weights_give_their_logits_here_and_go_back_the_same(kind: str, name: str) -> None:
    rows = {"X3D": X3D, "PTVX3D": PTV, "SlowFast": SLOWFAST, "PTVSlowFast": PTVSLOWFAST}
    row = rows[kind][name]
    plan = slowfast_plan(row) if "SlowFast" in kind else x3d_plan(row)
    theirs = filled(row)
    if kind == "PTVSlowFast":
        ours = convert(plan, {k.removeprefix("model."): v for k, v in theirs.items()})
    elif kind == "PTVX3D":
        ours = from_pytorchvideo({k.removeprefix("model."): v for k, v in theirs.items()}, plan)  # type: ignore[arg-type]
    else:
        table = names.X3D if kind == "X3D" else names.SLOWFAST
        ours = renamed(theirs, inverse(table))
    network = get_family(plan.family).build(plan)
    network.load_state_dict(ours)
    run = row.get("one_position_run") or row.get("small_run") or row["run"]
    n, c, t, *sides = run["input_shape"]
    assert_logits(network, run, (n, c, t, *sides))
    back = to_pyslowfast(network.state_dict(), plan, {"MODEL.MODEL_NAME": kind})
    assert {key: list(value.shape) for key, value in back.items()} == row["state_dict"]
    assert all(back[key].equal(theirs[key]) for key in theirs)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("odd-6-bn-lin5", "unknown: head.lin_5_bn.weight"),
        ("odd-7-dense", "of another shape: res2.0.channelwise.weight"),
        ("odd-10-grouped", "of another shape: .*channelwise.weight"),
    ],
)
def test_a_network_that_is_none_of_ours_is_refused_by_its_tensors(name: str, named: str) -> None:
    with pytest.raises(WeightsError, match=named):
        convert(x3d_plan(X3D[name]), filled(X3D[name]))


def test_ptvx3ds_batch_norm_behind_lin5_is_refused_by_its_tensors() -> None:
    row = PTV["odd-6-bn-lin5"]
    theirs = {name.removeprefix("model."): value for name, value in filled(row).items()}
    with pytest.raises(WeightsError, match=r"unknown: blocks.5.pool.post_norm.weight"):
        convert(x3d_plan(row), theirs)


@pytest.mark.parametrize(("kind", "name"), [("X3D", "odd-1"), ("SlowFast", "odd-1")])
def test_their_checkpoint_is_imported_under_our_names(kind: str, name: str, tmp_path: Path) -> None:
    row = {"X3D": X3D, "SlowFast": SLOWFAST}[kind][name]
    plan = slowfast_plan(row) if kind == "SlowFast" else x3d_plan(row)
    torch.save({"epoch": 3, "model_state": filled(row)}, tmp_path / "theirs.pyth")
    ours = convert(plan, read(tmp_path / "theirs.pyth"))
    back = to_pyslowfast(ours, plan, {"MODEL.MODEL_NAME": kind})
    assert all(back[key].equal(value) for key, value in filled(row).items())
