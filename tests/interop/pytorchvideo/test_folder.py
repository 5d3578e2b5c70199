"""The pytorchvideo folder as far as it can be checked without pytorchvideo; see tests/peers."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from expand3d.core.errors import ExportError
from expand3d.core.genotype import Plan
from expand3d.interop.formats import export
from expand3d.networks.families.x3d import FAMILY
from tests.helpers.networks import exported


def constants(source: str) -> dict[str, Any]:
    """The literal assignments of a module."""
    found: dict[str, Any] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            target = node.targets[0]
            if isinstance(target, ast.Name):
                found[target.id] = ast.literal_eval(node.value)
            else:
                names = [element.id for element in target.elts]  # type: ignore[attr-defined]
                found |= dict(zip(names, ast.literal_eval(node.value), strict=True))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export(exported(tmp_path), target="pytorchvideo", out=tmp_path / "out")
    return tmp_path / "out"


def test_files(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "check.py",
        "check.safetensors",
        "model.py",
        "network.json",
        "weights.safetensors",
    ]


def test_model_calls_create_x3d_with_everything_said(folder: Path) -> None:
    found = constants((folder / "model.py").read_text(encoding="utf-8"))
    assert found["CREATE_X3D"] == {
        "input_clip_length": 2,
        "input_crop_size": 48,
        "model_num_class": 6,
        "width_factor": 1.0,
        "depth_factor": 1.0,
        "bottleneck_factor": 1.7,
        "se_ratio": 0.0625,
        "head_dim_out": 2048,
        "dropout_rate": 0.5,
        "head_activation": None,
    }
    assert found["CLASSES"] == ["a", "b", "c", "d", 'it\'s "e"', "f"]
    assert (found["MEAN"], found["STD"]) == (0.45, 0.225)
    assert (found["FRAMES"], found["STRIDE"], found["CROP"]) == (2, 7, 48)
    assert found["TARGET_FPS"] == 30.0
    assert found["TRAINED"] is True


def test_check_holds_a_clip_and_what_our_network_says_of_it(folder: Path, tmp_path: Path) -> None:
    stored = load_file(folder / "check.safetensors")
    assert stored["clip"].dtype == torch.uint8
    assert stored["clip"].shape == (1, 3, 2, 48, 48)
    with torch.no_grad():
        wanted = exported(tmp_path).build()((stored["clip"].float() / 255 - 0.45) / 0.225)
    assert torch.allclose(stored["logits"], wanted, atol=1e-6)


def test_parameters_are_those_without_the_res2_batch_norm(folder: Path, tmp_path: Path) -> None:
    plan = exported(tmp_path).plan
    bare = FAMILY.build(dataclasses.replace(plan, res2_shortcut_bn=False))
    wanted = sum(parameter.numel() for parameter in bare.parameters())
    assert constants((folder / "check.py").read_text(encoding="utf-8"))["PARAMETERS"] == wanted


def test_architecture_alone_says_so(tmp_path: Path) -> None:
    network = exported(tmp_path, trained=False)
    files = export(network, target="pytorchvideo", out=tmp_path / "out")
    assert [path.name for path in files] == ["README.md", "check.py", "model.py", "network.json"]
    text = (tmp_path / "out" / "model.py").read_text(encoding="utf-8")
    assert "NOT trained" in text
    assert constants(text)["TRAINED"] is False


def test_another_family_is_refused(tmp_path: Path) -> None:
    plan = Plan(family="c3d", frames=16, stride=2, crop=112, num_classes=6)
    network = dataclasses.replace(exported(tmp_path, trained=False), plan=plan)
    with pytest.raises(ExportError, match=r"pytorchvideo .*family = 'c3d'; --to json"):
        export(network, target="pytorchvideo", out=tmp_path / "out")


def test_a_plan_it_cannot_express_leaves_nothing_behind(tmp_path: Path) -> None:
    network = exported(tmp_path, trained=False)
    odd = dataclasses.replace(network.plan, conv5=100)
    with pytest.raises(ExportError, match="conv5 = 100"):
        export(dataclasses.replace(network, plan=odd), target="pytorchvideo", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
