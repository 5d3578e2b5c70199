"""Files for torch.export and OpenVINO: every family's logits by their own loaders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from expand3d.core.errors import ExportError
from expand3d.core.plugins import FAMILIES, FORMATS
from expand3d.interop.formats import export
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.random_weights import randomised
from expand3d.interop.verify import absent, can_verify, verify
from expand3d.networks import get_family
from expand3d.networks.example import example
from tests.helpers.networks import exported, grown


@pytest.mark.parametrize("target", ["torch-export", "openvino"])
@pytest.mark.slow
@pytest.mark.parametrize("size", ["base", "grown"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_familys_logits_agree(target: str, family: str, size: str, tmp_path: Path) -> None:
    row = FORMATS[target]
    if absent(row.needs) or not can_verify(row):
        pytest.skip(f"{target} is not installed")
    genotype = get_family(family).base if size == "base" else grown(family)
    plan = get_family(family).resolve(genotype, num_classes=5)
    weights = tmp_path / "weights.safetensors"
    save_file(randomised(get_family(family).build(plan).state_dict()), weights)
    network = ExportedNetwork("heron", 3, genotype, plan, {}, weights=weights)
    export(network, target=target, out=tmp_path / "out", options={"pixels": family == "fusion"})
    assert all(each.agrees for each in verify(network, target=target, folder=tmp_path / "out"))


@pytest.mark.slow
def test_a_program_of_torch_needs_nothing_of_ours(tmp_path: Path) -> None:
    """Its operators are torch's alone, so that any torch of the version loads it."""
    network = exported(tmp_path)
    export(network, target="torch-export", out=tmp_path / "out")
    program = torch.export.load(tmp_path / "out" / "model.pt2")
    calls = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert calls and not {call for call in calls if "expand3d" in call}
    batch = example(network.plan, 3)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(*batch), network.build()(*batch))


def test_openvino_says_what_to_install(tmp_path: Path) -> None:
    if not absent(("openvino",)):
        pytest.skip("openvino is installed")
    with pytest.raises(ExportError, match=r"needs .*openvino: pip install 'expand3d\[openvino\]'"):
        export(exported(tmp_path), target="openvino", out=tmp_path / "out")
