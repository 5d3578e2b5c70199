"""Exported folders in MMAction2 itself: every tensor read back, logits of two sets of weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from expand3d.core.errors import ExportError
from expand3d.core.genotype import Genotype
from expand3d.core.plugins import FORMATS
from expand3d.interop.formats import export
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.verify import can_verify, verify
from expand3d.networks import all_presets, get_family

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not can_verify(FORMATS["mmaction2"]), reason="needs mmaction2 1.1.0"),
]


def x3d(frames: int, crop: int, **factors: float) -> Genotype:
    return get_family("x3d").base.replace(gamma_t=frames, gamma_s=crop / 112, **factors)


def slowfast(name: str, **factors: float) -> Genotype:
    return all_presets()[name].genotype.replace(gamma_s=64 / 112, **factors)


NETWORKS = {
    **{name: all_presets()[name].genotype for name in ("x2d", "x3d-xs", "x3d-s", "x3d-m")},
    "deep": x3d(2, 48, gamma_d=5),
    "third": x3d(5, 48, gamma_w=1 / 3, gamma_b=3.97),
    "two thirds": x3d(3, 56, gamma_w=2 / 3, gamma_b=1.7),
    "four thirds": x3d(3, 90, gamma_w=4 / 3, gamma_d=2.49, gamma_b=2.35),
    "three": x3d(2, 80, gamma_w=3, gamma_d=0.5, gamma_b=1.13),
    "two": x3d(1, 64, gamma_w=2, gamma_b=0.5),
    "slowfast 4x16": slowfast("slowfast-4x16-r50"),
    "slowfast 8x8": slowfast("slowfast-8x8-r50"),
    "slowfast, one slow frame": slowfast("slowfast-4x16-r50", gamma_t=8),
    "slowfast, half, few temporal": slowfast(
        "slowfast-8x8-r50", gamma_w=0.5, slow_temporal=5, temporal_res4=2
    ),
}


def other(name: str, crop: int = 64, **factors: float) -> Genotype:
    return all_presets()[name].genotype.replace(gamma_s=crop / 112, **factors)


NETWORKS |= {
    "slowfast, alpha 2": slowfast("slowfast-4x16-r50", gamma_t=2, alpha=2, gamma_w=0.25),
    "slowfast, quarter": slowfast("slowfast-8x8-r50", gamma_t=4, gamma_w=0.25, beta=1 / 4),
    "slowonly": other("slowonly-8x8-r50", gamma_t=4, gamma_w=0.25),
    "c2d": other("c2d-8x8-r50", 50, gamma_t=4),
    "i3d": other("i3d-32x2-r50", gamma_t=9, gamma_w=0.5),
    "ir-csn": other("ir-csn-50", gamma_t=5, gamma_w=0.5),
    "ip-csn": other("ip-csn-152", 32, gamma_t=8, gamma_w=0.125),
    "c3d": other("c3d-ucf101", 64, gamma_t=16),
    "c3d, BatchNorm": other("c3d-ucf101", 80, gamma_t=16, batch_norm=1),
    "tsn": other("tsn-r50-1x1x3"),
    "tsn, basic blocks": other("tsn-r18-1x1x8", 50),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_equal(name: str, tmp_path: Path) -> None:
    genotype = NETWORKS[name]
    family = get_family(genotype.family)
    plan = family.resolve(genotype, num_classes=7)
    weights = tmp_path / "weights.safetensors"
    torch.manual_seed(0)
    save_file(family.build(plan).state_dict(), weights)
    network = ExportedNetwork("heron", 3, genotype, plan, {}, weights=weights)
    other_frames = "slowfast" in name and "one" not in name
    export(network, target="mmaction2", out=tmp_path / "out", nearest=other_frames)
    found = verify(network, target="mmaction2", folder=tmp_path / "out")
    assert [each.weights for each in found] == ["exported", "randomised"]


def test_changed_weights_are_noticed(tmp_path: Path) -> None:
    family = get_family("x3d")
    plan = family.resolve(NETWORKS["two thirds"], num_classes=7)
    weights = tmp_path / "weights.safetensors"
    save_file(family.build(plan).state_dict(), weights)
    network = ExportedNetwork("heron", 3, NETWORKS["two thirds"], plan, {}, weights=weights)
    export(network, target="mmaction2", out=tmp_path / "out")
    held = torch.load(tmp_path / "out" / "weights.pth", weights_only=True)
    held["state_dict"]["cls_head.fc2.bias"] += 0.01
    torch.save(held, tmp_path / "out" / "weights.pth")
    with pytest.raises(ExportError, match="is not the network"):
        verify(network, target="mmaction2", folder=tmp_path / "out")
