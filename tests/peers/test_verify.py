"""`--verify` of a pytorchvideo folder: presets and odd plans agree, other weights are noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from expand3d.core.errors import ExportError
from expand3d.interop.formats import export
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.random_weights import randomised
from expand3d.interop.verify import verify
from expand3d.networks import all_presets, get_family
from tests.peers.test_mmaction2 import NETWORKS

pytestmark = pytest.mark.peers

X3DS = {
    **{name: genotype for name, genotype in NETWORKS.items() if genotype.family == "x3d"},
    "xl": all_presets()["x3d-xl"].genotype.replace(gamma_t=2, gamma_s=64 / 112),
    "odd widths": get_family("x3d").base.replace(gamma_w=1.45, gamma_s=72 / 112),
}


def network(name: str, folder: Path) -> ExportedNetwork:
    genotype = X3DS[name]
    plan = get_family("x3d").resolve(genotype, num_classes=7)
    save_file(randomised(get_family("x3d").build(plan).state_dict()), folder / "w.safetensors")
    return ExportedNetwork("heron", 3, genotype, plan, {}, weights=folder / "w.safetensors")


@pytest.mark.parametrize("name", X3DS)
def test_logits_are_equal(name: str, tmp_path: Path) -> None:
    made = network(name, tmp_path)
    export(made, target="pytorchvideo", out=tmp_path / "out")
    found = verify(made, target="pytorchvideo", folder=tmp_path / "out")
    assert [each.weights for each in found] == ["exported", "randomised"]


def test_changed_weights_are_noticed(tmp_path: Path) -> None:
    made = network("two thirds", tmp_path)
    export(made, target="pytorchvideo", out=tmp_path / "out")
    held = load_file(tmp_path / "out" / "weights.safetensors")
    held["blocks.5.proj.bias"] += 0.01
    save_file(held, tmp_path / "out" / "weights.safetensors")
    with pytest.raises(ExportError, match="is not the network"):
        verify(made, target="pytorchvideo", folder=tmp_path / "out")
