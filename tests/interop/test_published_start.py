"""Published weights, under the names they are published by, start every network of a search."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from expand3d.cli.main import main
from expand3d.interop.json_folder import load_export
from expand3d.networks import get_family, get_preset
from expand3d.networks.example import example
from expand3d.networks.family import Limits
from expand3d.networks.weights.initial import Initial, hash_of
from expand3d.networks.weights.x3d_names import to_pytorchvideo
from expand3d.search.expansion.expansion import Expansion

X3D = get_family("x3d")
#: PySlowFast's names of parts, by ours, as its X3D checkpoints have them.
PARTS = {
    "stem.spatial": "s1.pathway0_stem.conv_xy",
    "stem.temporal": "s1.pathway0_stem.conv",
    "stem.bn": "s1.pathway0_stem.bn",
    "shortcut": "branch1",
    "shortcut_bn": "branch1_bn",
    "expand": "branch2.a",
    "expand_bn": "branch2.a_bn",
    "channelwise": "branch2.b",
    "channelwise_bn": "branch2.b_bn",
    "se.squeeze": "branch2.se.fc1",
    "se.excite": "branch2.se.fc2",
    "project": "branch2.c",
    "project_bn": "branch2.c_bn",
    "head.conv5": "head.conv_5",
    "head.bn": "head.conv_5_bn",
    "head.lin5": "head.lin_5",
    "head.fc": "head.projection",
}


def under_pyslowfasts_names(name: str) -> str:
    module, _, leaf = name.rpartition(".")
    if found := re.fullmatch(r"res(\d)\.(\d+)\.(.+)", module):
        stage, block, part = found.groups()
        return f"s{stage}.pathway0_res{block}.{PARTS[part]}.{leaf}"
    return f"{PARTS[module]}.{leaf}"


def write_checkpoint(file: Path, preset: str, codebase: str) -> None:
    """A checkpoint as it is published, of random weights of 400 classes."""
    plan = X3D.resolve(get_preset(preset).genotype, num_classes=400)
    torch.manual_seed(1)
    state = X3D.build(plan).state_dict()
    if codebase == "pytorchvideo":
        state = to_pytorchvideo(state, plan)  # type: ignore[arg-type,assignment]
    else:
        state = {under_pyslowfasts_names(name): value for name, value in state.items()}  # type: ignore[assignment]
    torch.save({"model_state": state}, file)


@pytest.mark.parametrize(
    ("preset", "codebase"),
    [
        ("x3d-s", "pytorchvideo"),
        pytest.param("x3d-s", "pyslowfast", marks=pytest.mark.slow),
        pytest.param("x3d-m", "pytorchvideo", marks=pytest.mark.slow),
        pytest.param("x3d-m", "pyslowfast", marks=pytest.mark.slow),
    ],
)
def test_a_published_file_starts_each_candidate_of_a_search(
    preset: str, codebase: str, tmp_path: Path
) -> None:
    file, out = tmp_path / "published.pyth", tmp_path / "out"
    write_checkpoint(file, preset, codebase)
    assert main(["import", str(file), "--preset", preset, "--out", str(out)]) == 0
    network = load_export(out)
    assert network.weights is not None
    initial = Initial(network.weights, network.plan, hash_of(network.weights))
    strategy = Expansion("x3d", 6, 80_000_000, Limits(crop=160, duration=60))
    offers = strategy.futures()[0]
    plans = {c.plan.digest: c.plan for offer in offers for c in offer.candidates}
    assert len(plans) >= 8
    for plan in plans.values():
        begun = initial.start(plan, seed=2, classes=tuple("abcdef"))
        built = X3D.build(plan)
        built.load_state_dict(begun.state)
        assert built.eval()(*example(plan, 1)).shape == (1, 6)
        # What is narrower than the file's came from it whole, and the head never did.
        stem = begun.new["stem.spatial.weight"]
        assert not stem.any() or plan.stem > network.plan.stem  # type: ignore[attr-defined]
        assert begun.new["head.fc.weight"].all() and begun.new["head.fc.bias"].all()
