"""Exported SlowFasts and ResNets in pytorchvideo itself: every tensor read back, logits of two."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from expand3d.core.genotype import Genotype
from expand3d.interop.formats import export
from expand3d.interop.import_weights import described, import_weights, weights_in
from expand3d.interop.json_folder import load_export
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.verify import verify
from expand3d.networks import all_presets, get_family

pytestmark = pytest.mark.peers


def preset(name: str, crop: int = 64, **factors: float) -> Genotype:
    return all_presets()[name].genotype.replace(gamma_s=crop / 112, **factors)


#: Odd plans: frames that alpha does not divide, crops off the grid, other widths and laterals.
NETWORKS = {
    **{
        name: preset(name, gamma_t=16)
        for name in (
            "slowfast-4x16-r50",
            "slowfast-8x8-r50",
            "slowfast-8x8-r101",
            "slowfast-8x8-r18",
            "slowfast-4x16-r50-beta16",
            "slowfast-4x16-r50-no-lateral",
        )
    },
    "slowfast, crop 50": preset("slowfast-8x8-r18", 50, gamma_t=9),
    "slowfast, one slow frame": preset("slowfast-8x8-r18", gamma_t=4),
    "slowfast, third lateral": preset("slowfast-8x8-r18", gamma_t=8, lateral_ratio=3),
    "slowfast, wide lateral": preset(
        "slowfast-8x8-r18", gamma_t=8, gamma_w=0.5, beta=1 / 4, lateral_ratio=5, lateral_kernel=3
    ),
    "slowfast, few temporal": preset(
        "slowfast-8x8-r50", 48, gamma_t=8, gamma_w=0.25, slow_temporal=5, temporal_res4=2
    ),
    "slowfast, alpha 2": preset("slowfast-8x8-r18", 70, gamma_t=7, alpha=2, gamma_w=0.625),
    "slowonly": preset("slowonly-4x16-r50"),
    "slowonly, thin": preset("slowonly-8x8-r101", 50, gamma_t=3, gamma_w=0.25),
    "c2d": preset("c2d-8x8-r50"),
    "c2d without pool": preset("c2d-8x8-r50-nopool", 40, gamma_w=0.5),
    "i3d": preset("i3d-8x8-r50"),
    "i3d, strided": preset("i3d-32x2-r50", 48, gamma_t=16, gamma_w=0.375),
    "csn": preset("ir-csn-50", gamma_t=8),
    "csn, thick": preset("ir-csn-101", 50, gamma_t=5, gamma_w=0.25, gamma_b=2),
    "r2plus1d": preset("r2plus1d-50-pytorchvideo", gamma_t=8),
    "r2plus1d, thin": preset("r2plus1d-50-pytorchvideo", 50, gamma_t=5, gamma_w=0.25),
}


def written(genotype: Genotype, folder: Path) -> ExportedNetwork:
    family = get_family(genotype.family)
    plan = family.resolve(genotype, num_classes=7)
    weights = folder / "weights.safetensors"
    torch.manual_seed(0)
    save_file(family.build(plan).state_dict(), weights)
    network = ExportedNetwork("heron", 3, genotype, plan, {}, weights=weights)
    export(network, target="pytorchvideo", out=folder / "out")
    return network


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_equal_and_the_weights_come_back(name: str, tmp_path: Path) -> None:
    network = written(NETWORKS[name], tmp_path)
    found = verify(network, target="pytorchvideo", folder=tmp_path / "out")
    assert [each.weights for each in found] == ["exported", "randomised"]
    file = weights_in(tmp_path / "out")
    beside = described(file)
    assert beside is not None and network.weights is not None
    import_weights(file, beside, out=tmp_path / "back")
    back = load_export(tmp_path / "back")
    assert back.plan == network.plan and back.weights is not None
    ours, theirs = load_file(network.weights), load_file(back.weights)
    assert ours.keys() == theirs.keys() and all(ours[k].equal(theirs[k]) for k in ours)
