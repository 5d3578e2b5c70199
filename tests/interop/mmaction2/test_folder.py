"""The folder for MMAction2: configs that Python reads, a checkpoint, and what its README says."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from expand3d.core.errors import ExportError
from expand3d.interop.formats import export
from expand3d.interop.mmaction2 import slowfast
from expand3d.networks import all_presets, get_family
from expand3d.networks.families.slowfast import SlowFastPlan
from expand3d.networks.families.x3d import FAMILY
from tests.helpers.networks import exported

#: Widths 16, 32, 64, 128: what doubling from one base gives.
GENOTYPE = FAMILY.base.replace(gamma_t=2, gamma_tau=7, gamma_s=48 / 112, gamma_w=2 / 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export(exported(tmp_path, GENOTYPE), target="mmaction2", out=tmp_path / "out")
    return tmp_path / "out"


def test_files(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.py",
        "network.json",
        "test_10x3.py",
        "weights.pth",
    ]


def test_the_config_is_complete(folder: Path) -> None:
    """All that a training and a test there need; what is left out changes results in silence."""
    found = runpy.run_path(str(folder / "config.py"))
    assert found["default_scope"] == "mmaction"
    model = found["model"]
    assert model["cls_head"]["average_clips"] == "prob" and model["cls_head"]["in_channels"] == 128
    assert model["data_preprocessor"] == {
        "type": "ActionDataPreprocessor",
        "mean": [114.75] * 3,
        "std": [57.375] * 3,
        "format_shape": "NCTHW",
    }
    for part in ("train", "val", "test"):
        assert {f"{part}_dataloader", f"{part}_cfg"} <= set(found)
    assert found["optim_wrapper"]["paramwise_cfg"] == {"norm_decay_mult": 0.0}
    steps = found["test_dataloader"]["dataset"]["pipeline"]
    assert [step["type"] for step in steps] == [
        "DecordInit",
        "SampleFrames",
        "DecordDecode",
        "Resize",
        "CenterCrop",
        "FormatShape",
        "PackActionInputs",
    ]
    assert steps[1] == {
        "type": "SampleFrames",
        "clip_len": 2,
        "frame_interval": 7,
        "target_fps": 30,
        "out_of_bound_opt": "loop",
        "num_clips": 10,
        "test_mode": True,
    }


def test_three_crops_are_as_large_as_the_short_side(folder: Path) -> None:
    found = runpy.run_path(str(folder / "test_10x3.py"))
    steps = {step["type"]: step for step in found["test_dataloader"]["dataset"]["pipeline"]}
    assert steps["Resize"]["scale"] == (-1, 54) and steps["ThreeCrop"]["crop_size"] == 54


def test_the_checkpoint_is_plain(folder: Path) -> None:
    held = torch.load(folder / "weights.pth", weights_only=True)
    assert list(held) == ["state_dict"]
    assert held["state_dict"]["cls_head.fc1.weight"].shape == (2048, 128)


def test_what_doubling_does_not_give_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"--to mmaction2: .* widths = \(16, 24, 48, 96\) by"):
        export(exported(tmp_path), target="mmaction2", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_frames_repeated_so_that_both_slow_pathways_read_the_same() -> None:
    preset = all_presets()["slowfast-4x16-r50"].genotype
    plan = get_family("slowfast").resolve(preset)
    assert isinstance(plan, SlowFastPlan)
    clip = slowfast.alike(plan, torch.arange(32.0).reshape(1, 1, 32, 1, 1))
    assert clip[0, 0, [0, 10, 20, 31], 0, 0].equal(clip[0, 0, [0, 8, 16, 24], 0, 0])
