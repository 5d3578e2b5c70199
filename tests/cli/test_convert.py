"""`expand3d convert`: a state dict under torchvision's names becomes a network that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from expand3d.cli.main import main
from expand3d.interop.json_folder import load_export
from expand3d.networks import get_family, get_preset

SMALL = ["--set", "gamma_w=0.125", "--num-classes", "3"]


def torchvision_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """r3d_18's names, as torchvision's VideoResNet prints them, written out by hand."""
    stages = {"res2": "layer1", "res3": "layer2", "res4": "layer3", "res5": "layer4"}
    parts = {
        "main.conv1.conv": "conv1.0",
        "main.conv1.bn": "conv1.1",
        "main.conv2.conv": "conv2.0",
        "main.conv2.bn": "conv2.1",
        "shortcut.conv": "downsample.0",
        "shortcut.bn": "downsample.1",
    }
    renamed = {}
    for name, value in state.items():
        stage, *rest, leaf = name.split(".")
        if stage == "stem":
            theirs = f"stem.{0 if rest[-1] == 'conv' else 1}.{leaf}"
        elif stage == "head":
            theirs = f"fc.{leaf}"
        else:
            block, *inner = rest
            theirs = f"{stages[stage]}.{block}.{parts['.'.join(inner)]}.{leaf}"
        renamed[theirs] = value
    return renamed


def small() -> torch.nn.Module:
    genotype = get_preset("r3d-18").genotype.replace(gamma_w=0.125)
    family = get_family("r3d")
    torch.manual_seed(0)
    return family.build(family.resolve(genotype, num_classes=3)).eval()


def test_a_foreign_file_becomes_a_folder_that_builds_the_network(tmp_path: Path) -> None:
    ours = small()
    torch.save({"state_dict": torchvision_names(ours.state_dict())}, tmp_path / "theirs.pth")
    out = tmp_path / "out"
    command = ["convert", str(tmp_path / "theirs.pth"), "--preset", "r3d-18", *SMALL]
    assert main([*command, "--out", str(out)]) == 0
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(load_export(out).build()(clip), ours(clip))


def test_unknown_and_missing_names_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torchvision_names(small().state_dict())
    del state["layer2.0.conv1.0.weight"]
    state["layer9.odd"] = torch.zeros(1)
    torch.save(state, tmp_path / "theirs.pth")
    command = ["convert", str(tmp_path / "theirs.pth"), "--preset", "r3d-18", *SMALL]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "layer9.odd" in told and "res3.0.main.conv1.conv.weight" in told
    assert not (tmp_path / "out").exists()


def test_what_is_no_file_of_weights_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "odd.pth").write_text("not weights")
    command = ["convert", str(tmp_path / "odd.pth"), "--preset", "r3d-18"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "odd.pth" in capsys.readouterr().err
