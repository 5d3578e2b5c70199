"""PySlowFast's keys of its ResNets, beside the configs that it ships; no logits of its own here."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from expand3d.core.errors import ExportError
from expand3d.interop.formats import export
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.pyslowfast.folder import spelling, to_pyslowfast
from expand3d.networks import all_presets, get_family
from expand3d.networks.weights.convert import convert

#: ARCH, MODEL_NAME, DEPTH and NUM_BLOCK_TEMP_KERNEL as in configs/Kinetics of 287ec007.
SHIPPED: dict[str, tuple[str, str, int, Any]] = {
    "c2d-8x8-r50": ("c2d", "ResNet", 50, [[3], [4], [6], [3]]),
    "c2d-8x8-r50-nopool": ("slow_c2d", "ResNet", 50, [[3], [4], [6], [3]]),
    "i3d-8x8-r50": ("i3d", "ResNet", 50, [[3], [4], [6], [3]]),
    "slowonly-8x8-r50": ("slow", "ResNet", 50, [[3], [4], [6], [3]]),
    "slowonly-8x8-r101": ("slow", "ResNet", 101, [[3], [4], [23], [3]]),
    "ir-csn-101": ("csn", "PTVCSN", 101, None),
    "r2plus1d-50-pytorchvideo": ("r2plus1d", "PTVR2plus1D", 50, None),
}


def plan_of(preset: str, **factors: float) -> Any:
    genotype = all_presets()[preset].genotype.replace(**factors)
    return get_family(genotype.family).resolve(genotype, num_classes=7)


@pytest.mark.parametrize("name", SHIPPED)
def test_presets_are_their_shipped_configs(name: str) -> None:
    _, found = spelling(plan_of(name))
    keys = ("MODEL.ARCH", "MODEL.MODEL_NAME", "RESNET.DEPTH", "RESNET.NUM_BLOCK_TEMP_KERNEL")
    assert tuple(found.get(key) for key in keys) == SHIPPED[name]
    assert found["RESNET.WIDTH_PER_GROUP"] == 64
    assert "SINGLE_PATHWAY_ARCH" in str(found) or found["MODEL.MODEL_NAME"] == "ResNet"


def test_blocks_without_a_temporal_kernel_come_last() -> None:
    plan = plan_of("slowonly-8x8-r50")
    fewer = dataclasses.replace(plan, kernels=(*plan.kernels[:2], (3, 3, 1, 1, 1, 1), (1, 1, 1)))
    _, found = spelling(fewer)
    assert found["RESNET.NUM_BLOCK_TEMP_KERNEL"] == [[3], [4], [2], [0]]


@pytest.mark.parametrize(
    ("preset", "changed", "named"),
    [
        ("slowonly-8x8-r50", {"crop": 100}, "crop = 100 .* is 96"),
        ("slowonly-8x8-r50", {"inners": (64, 128, 256, 500)}, "inners = .*500.* is .*512"),
        ("slowonly-8x8-r50", {"stem": 60}, "widths = .*256.* is .*240"),
        ("i3d-32x2-r50", {}, r"stem_strides = \(2, 2\) .* is \(1, 1\)"),
        ("i3d-8x8-r50", {"stem_kernel": 3}, "stem_kernel = 3"),
        ("i3d-32x2-r50-heavy", {}, "kernels = "),
        ("ir-csn-50", {"frames": 12}, "frames = 12 .* is 8"),
        ("ip-csn-152", {}, "preserved = True .* is False"),
        ("r2plus1d-50-pytorchvideo", {"strides": ((1, 1), (1, 2), (2, 2), (2, 2))}, "strides = "),
        ("r2plus1d-34-mmaction2-8x8", {}, "bottleneck = False .* is True"),
        ("r2plus1d-50-pytorchvideo", {"frames": 6}, "frames = 6 .* is 4"),
    ],
)
def test_what_it_cannot_build_is_refused_by_name(
    preset: str, changed: dict[str, Any], named: str
) -> None:
    plan = dataclasses.replace(plan_of(preset), **changed)
    with pytest.raises(ExportError, match=f"--to pyslowfast: PySlowFast's .*{named}"):
        spelling(plan)


@pytest.mark.parametrize("name", ["slowonly-8x8-r50", "i3d-8x8-r50", "ir-csn-50"])
def test_weights_go_there_and_come_back(name: str) -> None:
    plan = plan_of(name, gamma_w=0.125, gamma_s=32 / 112)
    ours = get_family(plan.family).build(plan).state_dict()
    theirs = to_pyslowfast(ours, plan, spelling(plan)[1])
    assert len(theirs) == len(ours)
    back = convert(plan, {k.removeprefix("model."): v for k, v in theirs.items()})
    assert all(back[key].equal(ours[key]) for key in ours)
    if plan.family == "slowonly":
        assert {"s1.pathway0_stem.bn.bias", "s5.pathway0_res2.branch2.c_bn.bias"} <= theirs.keys()


def test_the_folder_says_that_its_class_is_not_verified(tmp_path: Path) -> None:
    genotype = all_presets()["c2d-8x8-r50"].genotype.replace(gamma_w=0.125)
    plan = get_family("slowonly").resolve(genotype, num_classes=7)
    torch.manual_seed(0)
    network = ExportedNetwork("heron", 3, genotype, plan, {})
    export(network, target="pyslowfast", out=tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "Not verified: " in text and "--repo PATH" in text
