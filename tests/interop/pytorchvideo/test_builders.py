"""SlowFast and the ResNets as calls of pytorchvideo's builders; tests/peers builds them there."""

from __future__ import annotations

import dataclasses
import runpy
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from expand3d.core.errors import ExportError
from expand3d.interop.formats import export
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.pytorchvideo.folder import spelling
from expand3d.interop.pytorchvideo.names import to_pytorchvideo
from expand3d.networks import all_presets, get_family
from expand3d.networks.weights.convert import convert


def plan_of(preset: str, **factors: float) -> Any:
    genotype = all_presets()[preset].genotype.replace(**factors)
    return get_family(genotype.family).resolve(genotype, num_classes=7)


#: The builder of each preset, and arguments that pytorchvideo's own hub gives it.
HUB: dict[str, tuple[str, dict[str, Any]]] = {
    "slowfast-8x8-r50": (
        "create_slowfast",
        {
            "model_depth": 50,
            "slowfast_channel_reduction_ratio": 8,
            "slowfast_conv_channel_fusion_ratio": 2,
            "slowfast_fusion_conv_kernel_size": (7, 1, 1),
            "slowfast_fusion_conv_stride": (4, 1, 1),
            "stem_dim_outs": (64, 8),
        },
    ),
    "slowonly-8x8-r50": (
        "create_resnet",
        {
            "model_depth": 50,
            "stem_conv_kernel_size": (1, 7, 7),
            "stage_conv_a_kernel_size": ((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1)),
        },
    ),
    "c2d-8x8-r50": (
        "create_resnet",
        {
            "stem_conv_kernel_size": (1, 7, 7),
            "stage1_pool": "torch.nn.MaxPool3d",
            "stage_conv_a_kernel_size": ((1, 1, 1),) * 4,
        },
    ),
    "i3d-8x8-r50": (
        "create_resnet",
        {"stem_conv_kernel_size": (5, 7, 7), "stage1_pool": "torch.nn.MaxPool3d"},
    ),
    "ir-csn-101": (
        "create_csn",
        {"model_depth": 101, "stem_dim_out": 64, "stem_pool": "torch.nn.MaxPool3d"},
    ),
    "r2plus1d-50-pytorchvideo": (
        "create_r2plus1d",
        {"stage_spatial_stride": (2, 2, 2, 2), "stage_temporal_stride": (1, 1, 2, 2)},
    ),
}


@pytest.mark.parametrize("name", HUB)
def test_presets_are_the_hubs_arguments(name: str) -> None:
    found, (builder, wanted) = spelling(plan_of(name)), HUB[name]
    assert found.builder == builder
    assert {key: found.arguments[key] for key in wanted} == wanted


def test_slowfasts_temporal_kernels_are_the_hubs() -> None:
    """slowfast_r50's and slowfast_16x8_r101_50_50's stage_conv_a_kernel_sizes."""
    one, three = (1, 1, 1), (3, 1, 1)
    found = spelling(plan_of("slowfast-8x8-r50")).arguments["stage_conv_a_kernel_sizes"]
    assert found == ((one, one, three, three), (three,) * 4)
    found = spelling(plan_of("slowfast-16x8-r101")).arguments["stage_conv_a_kernel_sizes"]
    mixed = (three,) * 6 + (one,) * 17
    assert found == ((one, one, mixed, three), (three, three, mixed, three))


@pytest.mark.parametrize(
    ("preset", "changed", "named"),
    [
        ("slowfast-8x8-r50", {"stems": (64, 9)}, r"stem = \(64, 9\) .* is \(64, 8\)"),
        ("slowfast-8x8-r50", {"inners": ((64, 128, 256, 500), (8, 16, 32, 64))}, "inners = "),
        ("slowfast-8x8-r50", {"depths": (3, 4, 7, 3)}, "depths = "),
        ("slowonly-8x8-r50", {"stem": 60}, "widths = "),
        ("slowonly-8x8-r50", {"inners": (1, 2, 3, 4)}, "inners = "),
        ("ip-csn-152", {}, "preserved = True .* is False"),
        ("r2plus1d-34-torchvision", {}, "bottleneck = False .* is True"),
        ("r2plus1d-50", {}, "time_first = False .* is True"),
        ("r2plus1d-50-pytorchvideo", {"stem_mid": 45}, "stem_mid = 45 .* is 0"),
        ("r2plus1d-50-pytorchvideo", {"mids": (((9,), (9,)),) * 4}, "mids = "),
    ],
)
def test_what_no_builder_makes_is_refused_by_name(
    preset: str, changed: dict[str, Any], named: str
) -> None:
    plan = dataclasses.replace(plan_of(preset), **changed)
    with pytest.raises(ExportError, match=f"--to pytorchvideo: pytorchvideo's create_.*({named})"):
        spelling(plan)


def test_a_shortcut_without_batch_norm_is_refused() -> None:
    """256 channels and 256 of the lateral are res3's 512: pytorchvideo leaves out its norm."""
    plan = plan_of("slowfast-8x8-r18", beta=1, lateral_ratio=1)
    assert plan.widths[0][0] + plan.widths[1][0] == plan.widths[0][1]
    with pytest.raises(ExportError, match="lateral_ratio = 1"):
        spelling(plan)
    spelling(plan_of("slowfast-8x8-r18", beta=1, lateral_ratio=2))


@pytest.mark.parametrize("name", HUB)
def test_weights_go_there_and_come_back(name: str) -> None:
    plan = plan_of(name, gamma_w=0.125, gamma_s=32 / 112)
    ours = get_family(plan.family).build(plan).state_dict()
    theirs = to_pytorchvideo(ours, plan)
    assert len(theirs) == len(ours)
    assert all(key.startswith("blocks.") for key in theirs)
    back = convert(plan, theirs)
    assert all(back[key].equal(ours[key]) for key in ours)


def test_the_module_packs_slow_frames_as_ours_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frame i of S is floor(i (T - 1) / (S - 1)), of 32 fast ones 0, 4, 8, 13, ... 31."""
    genotype = all_presets()["slowfast-8x8-r18"].genotype
    plan = get_family("slowfast").resolve(genotype, num_classes=7)
    network = ExportedNetwork("heron", 3, genotype, plan, {})
    export(network, target="pytorchvideo", out=tmp_path / "out")
    stand_in: Any = types.ModuleType("pytorchvideo.models.slowfast")
    stand_in.create_slowfast = lambda **arguments: torch.nn.Identity()
    for part in ("pytorchvideo", "pytorchvideo.models"):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    found = runpy.run_path(str(tmp_path / "out" / "model.py"))
    slow, fast = found["pathways"](torch.arange(32.0).reshape(1, 1, 32, 1, 1))
    assert slow.flatten().tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    assert fast.shape[2] == 32
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "lateral_stride: 4" in text and "pytorchvideo 0.1.5" in text
