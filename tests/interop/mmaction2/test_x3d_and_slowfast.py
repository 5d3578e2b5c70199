"""MMAction2's models, names and logits, held to what its own code gave."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from expand3d.core.errors import ExportError, WeightsError
from expand3d.interop.mmaction2 import slowfast, x3d
from expand3d.interop.mmaction2.names import from_mmaction2, to_mmaction2
from expand3d.networks import all_presets, get_family
from expand3d.networks.families.slowfast import SlowFastPlan
from expand3d.networks.families.x3d_plan import X3DPlan
from tests.helpers.peers import assert_logits, filled, golden, tuples

X3D, SLOWFAST = golden("mmaction2_x3d"), golden("mmaction2_slowfast")
#: Rows of networks that are none of ours, and why.
NOT_OURS = {
    "odd-3-se-all": "SE in every block",
    "odd-4-se-eighth": "another SE ratio",
    "odd-6-no-se": "no SE",
    "slowfast-4x16-r50-as-shipped": "laterals without BatchNorm",
    "slowfast-4x16-r101-r50-lateral-norm": "depths that differ between pathways",
}

#: Deep or large: their logits take seconds.
SLOW = ("x3d-l", "slowfast-8x8", "slowfast-4x16")


def x3d_plan(row: dict[str, Any]) -> X3DPlan:
    got = {k: tuples(v) for k, v in row["integers"].items()}
    _, _, _, frames, crop, _ = row["run"]["input_shape"]
    fields = ("stem", "widths", "inners", "depths", "se_widths", "conv5", "lin5")
    integers = {field: got[field] for field in fields}
    clip = {"frames": frames, "stride": 2, "crop": crop, "num_classes": got["classes"]}
    return X3DPlan(family="x3d", **clip, **integers, res2_shortcut_bn=True)


def slowfast_plan(row: dict[str, Any]) -> SlowFastPlan:
    got = {k: tuples(v) if isinstance(v, list) else v for k, v in row["integers"].items()}
    slow, fast = ({k: tuples(v) for k, v in got[name].items()} for name in ("slow", "fast"))
    assert slow["depths"] == fast["depths"] and got["lateral_bn"]
    _, _, _, frames, crop, _ = row["run"]["input_shape"]
    return SlowFastPlan(
        family="slowfast",
        frames=frames,
        stride=2,
        crop=crop,
        num_classes=got["classes"],
        alpha=got["lateral_stride"],
        stems=(slow["stem"], fast["stem"]),
        widths=(slow["widths"], fast["widths"]),
        inners=(slow["inners"], fast["inners"]),
        depths=slow["depths"],
        temporal=tuple(  # type: ignore[arg-type]
            tuple(sum(kernel == 3 for kernel in stage) for stage in path["temporal_kernels"])
            for path in (slow, fast)
        ),
        lateral_kernel=got["lateral_kernel"],
        lateral_ratio=got["lateral"][0] // fast["stem"],
    )


@pytest.mark.parametrize("name", X3D)
def test_x3ds_rounding_is_theirs(name: str) -> None:
    got, row = x3d.integers(X3D[name]["model"]), X3D[name]
    assert len(got) == 8
    assert got == {field: tuples(row["integers"][field]) for field in got}


@pytest.mark.parametrize("name", SLOWFAST)
def test_slowfasts_rounding_is_theirs(name: str) -> None:
    got, wanted = slowfast.integers(SLOWFAST[name]["model"]), SLOWFAST[name]["integers"]
    for field in ("stem", "depths", "widths", "inners", "temporal_kernels"):
        assert got[field] == tuple(tuples(wanted[path][field]) for path in ("slow", "fast")), field
    for field in ("lateral", "lateral_kernel", "lateral_stride", "head_in", "classes"):
        assert got[field] == tuples(wanted[field]), field


@pytest.mark.parametrize("name", [each for each in X3D if each not in NOT_OURS])
def test_a_spelling_of_every_x3d_is_found_from_its_integers(name: str) -> None:
    plan = x3d_plan(X3D[name])
    got = x3d.integers(x3d.model(plan))
    assert got == {field: tuples(X3D[name]["integers"][field]) for field in got}


def test_presets_are_their_shipped_gammas() -> None:
    for name in ("x3d-s", "x3d-m", "x3d-l"):
        genotype = all_presets()[name].genotype
        found = x3d.model(get_family("x3d").resolve(genotype), genotype)["backbone"]  # type: ignore[arg-type]
        wanted = X3D[name]["model"]["backbone"]
        keys = ("gamma_w", "gamma_b", "gamma_d")
        assert [found[key] for key in keys] == [wanted[key] for key in keys]


def test_widths_that_do_not_double_are_refused() -> None:
    genotype = all_presets()["x3d-xl"].genotype
    plan = get_family("x3d").resolve(genotype)
    with pytest.raises(ExportError, match=r"widths = \(32, 72, 136, 280\) .*\(32, 64, 128, 256\)"):
        x3d.model(plan, genotype)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [each for each in SLOWFAST if each not in NOT_OURS])
def test_slowfasts_spelling_is_theirs_but_for_the_slow_frames(name: str) -> None:
    plan = slowfast_plan(SLOWFAST[name])
    with pytest.raises(ExportError, match=r"slow frames = \(0, .*nearest it builds is \(0, "):
        slowfast.model(plan)
    found, wanted = slowfast.model(plan, nearest=True), SLOWFAST[name]["model"]
    got, theirs = slowfast.integers(found), slowfast.integers(wanted)
    assert got == theirs


def test_one_slow_frame_is_the_same_in_both() -> None:
    plan = slowfast_plan(SLOWFAST["slowfast-4x16-r50-lateral-norm"])
    assert slowfast.slow_frames(plan) == ((0, 10, 20, 31), (0, 8, 16, 24))
    slowfast.model(dataclasses.replace(plan, frames=8))


@pytest.mark.parametrize(
    ("field", "wanted", "named"),
    [
        ("lateral_ratio", 0, "lateral_ratio = 0 .* is 1"),
        ("frames", 30, "frames = 30 .* is 24"),
        ("depths", (2, 2, 2, 2), r"depths = .* is \(\(3, 4, 6, 3\)"),
        ("lateral_kernel", 4, "lateral_kernel"),
    ],
)
def test_slowfast_refuses_by_name(field: str, wanted: Any, named: str) -> None:
    plan = slowfast_plan(SLOWFAST["slowfast-4x16-r50-lateral-norm"])
    if field == "lateral_kernel":  # any kernel there is expressed
        assert slowfast.model(dataclasses.replace(plan, lateral_kernel=wanted), nearest=True)
        return
    changed: dict[str, Any] = {field: wanted}
    if field == "depths":
        changed["temporal"] = ((0, 0, 2, 2), (2, 2, 2, 2))
    with pytest.raises(ExportError, match=named):
        slowfast.model(dataclasses.replace(plan, **changed), nearest=True)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("odd-3-se-all", "unknown: .*se"),
        ("odd-4-se-eighth", "of another shape: res3.0.se"),
        ("odd-6-no-se", "missing: res2.0.se"),
        ("slowfast-4x16-r50-as-shipped", "missing: stem.lateral.bn.weight"),
        pytest.param(
            "slowfast-4x16-r101-r50-lateral-norm",
            "missing|unknown: res4.slow.6",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_network_that_is_none_of_ours_is_refused_by_its_tensors(name: str, named: str) -> None:
    assert name in NOT_OURS
    if name in SLOWFAST:
        row, plan = SLOWFAST[name], slowfast_plan(SLOWFAST["slowfast-4x16-r50-lateral-norm"])
    else:
        row = X3D[name]
        widths = [width or 8 for width in row["integers"]["se_widths"]]
        plan = x3d_plan({**row, "integers": {**row["integers"], "se_widths": widths}})
        if name == "odd-4-se-eighth":
            plan = dataclasses.replace(plan, se_widths=(8, 8, 8, 8))
    with pytest.raises(WeightsError, match=named):
        from_mmaction2(filled(row), plan)


class TheirFrames(torch.nn.Module):
    """Our SlowFast, whose Slow pathway reads every alpha-th frame."""

    def __init__(self, network: torch.nn.Module, alpha: int) -> None:
        super().__init__()
        self.network, self.alpha = network, alpha
        rates = network.get_submodule("rates")
        rates.forward = lambda x: (x[:, :, :: self.alpha], x)  # type: ignore[method-assign]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.network(x)
        return found


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, marks=[pytest.mark.slow] if name.startswith(SLOW) else [])
        for kind, rows in (("x3d", X3D), ("slowfast", SLOWFAST))
        for name in rows
        if name not in NOT_OURS
    ],
)
def test_their_weights_give_their_logits_here_and_go_back_the_same(kind: str, name: str) -> None:
    row = {"x3d": X3D, "slowfast": SLOWFAST}[kind][name]
    plan = x3d_plan(row) if kind == "x3d" else slowfast_plan(row)
    theirs = filled(row)
    network = get_family(kind).build(plan)
    network.load_state_dict(from_mmaction2(theirs, plan))
    back = to_mmaction2(network.state_dict(), plan)
    assert {key: list(value.shape) for key, value in back.items()} == row["state_dict"]
    assert all(back[key].equal(theirs[key]) for key in theirs)
    n, _, c, t, height, width = row["run"]["input_shape"]
    model = network if kind == "x3d" else TheirFrames(network, plan.alpha)  # type: ignore[attr-defined]
    assert_logits(model, row["run"], (n, c, t, height, width))
