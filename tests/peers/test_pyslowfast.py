"""Exports in a checkout of PySlowFast, whose path EXPAND3D_PYSLOWFAST names; else skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from expand3d.core.errors import ExportError
from expand3d.core.genotype import Genotype
from expand3d.interop.formats import export
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.random_weights import randomised
from expand3d.interop.verify import verify
from expand3d.networks import all_presets, get_family

REPO = os.environ.get("EXPAND3D_PYSLOWFAST", "")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not REPO, reason="EXPAND3D_PYSLOWFAST names no checkout of PySlowFast"),
]


def preset(name: str, crop: int, **factors: float) -> Genotype:
    """A quarter as wide."""
    return all_presets()[name].genotype.replace(gamma_s=crop / 112, gamma_w=0.25, **factors)


X3D = get_family("x3d").base.replace(gamma_t=2, gamma_s=64 / 112)
NETWORKS = {
    "its own X3D": X3D.replace(gamma_w=2 / 3),
    "PTVX3D": X3D.replace(gamma_w=1.45),
    "PTVSlowFast": preset("slowfast-4x16-r50", 32, gamma_t=8, lateral_ratio=3),
    "Slow": preset("slowonly-4x16-r50", 32),
    "C2D": preset("c2d-8x8-r50", 64),
    "C2D without pool": preset("c2d-8x8-r50-nopool", 32),
    "I3D": preset("i3d-8x8-r50", 64),
    "I3D without pool": preset("i3d-8x8-r50", 32, res2_pool=0),
    "PTVCSN": preset("ir-csn-50", 32, gamma_t=8),
    "PTVR2plus1D": preset("r2plus1d-50-pytorchvideo", 64, gamma_t=8),
    "SlowFast": all_presets()["slowfast-8x8-r50"].genotype.replace(
        gamma_s=64 / 112, gamma_w=0.25, gamma_t=16
    ),
}


def written(genotype: Genotype, folder: Path) -> ExportedNetwork:
    family = get_family(genotype.family)
    plan = family.resolve(genotype, num_classes=7)
    save_file(randomised(family.build(plan).state_dict()), folder / "weights.safetensors")
    weights = folder / "weights.safetensors"
    network = ExportedNetwork("heron", 3, genotype, plan, {}, weights=weights)
    export(network, target="pyslowfast", out=folder / "out")
    return network


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_equal(name: str, tmp_path: Path) -> None:
    network = written(NETWORKS[name], tmp_path)
    found = verify(network, target="pyslowfast", folder=tmp_path / "out", repo=REPO)
    assert [each.weights for each in found] == ["exported", "randomised"]


def test_a_file_that_does_not_fit_is_noticed(tmp_path: Path) -> None:
    """PySlowFast's own loader says nothing of it."""
    network = written(NETWORKS["its own X3D"], tmp_path)
    file = tmp_path / "out" / "weights.pyth"
    state = torch.load(file, weights_only=True)["model_state"]
    odd = {f"odd.{name}": value for name, value in state.items()}
    torch.save({"model_state": odd}, file)
    with pytest.raises(ExportError, match="PySlowFast reads other values of"):
        verify(network, target="pyslowfast", folder=tmp_path / "out", repo=REPO)
