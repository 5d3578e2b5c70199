"""The folder for PySlowFast: complete, typed configs, a checkpoint, and what its README says."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml  # fvcore brings it

from expand3d.core.errors import ExportError
from expand3d.interop.formats import export
from expand3d.interop.verify import verify
from expand3d.networks import get_family
from tests.helpers.networks import exported
from tests.helpers.peers import ASSETS

#: Their name of a type -> ours; a config with a float for an int, or the other way, is refused.
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "tuple": list}


def keys() -> dict[str, dict[str, str]]:
    with (ASSETS / "pyslowfast_config.csv").open(encoding="utf-8") as file:
        return {row["key"]: row for row in csv.DictReader(file)}


def flat(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for section, value in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        if isinstance(value, dict):
            found |= {f"{section}.{name}": each for name, each in value.items()}
        else:
            found[section] = value
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export(exported(tmp_path), target="pyslowfast", out=tmp_path / "out")
    return tmp_path / "out"


def test_files(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.yaml",
        "network.json",
        "test_10x1.yaml",
        "test_10x3.yaml",
        "weights.pyth",
    ]


@pytest.mark.parametrize("name", ["config.yaml", "test_10x1.yaml", "test_10x3.yaml"])
def test_every_key_is_theirs_and_of_their_type(folder: Path, name: str) -> None:
    known, found = keys(), flat(folder / name)
    assert set(found) <= set(known)
    wrong = {k: v for k, v in found.items() if type(v) is not TYPES[known[k]["type"]]}
    assert not wrong
    built = {key for key, row in known.items() if "build" in row["used_by"]}
    others = ("SLOWFAST.", "NONLOCAL.", "MULTIGRID.", "RESNET.", "BN.NORM_TYPE")
    assert {key for key in built - set(found) if not key.startswith(others)} == set()


def test_the_config_says_the_clip_and_the_recipe(folder: Path) -> None:
    found = flat(folder / "config.yaml")
    wanted = {
        "MODEL.ARCH": "x3d",
        "MODEL.NUM_CLASSES": 6,
        "MODEL.DROPOUT_RATE": 0.5,
        "DATA.NUM_FRAMES": 2,
        "DATA.SAMPLING_RATE": 7,
        "DATA.TRAIN_CROP_SIZE": 48,
        "DATA.TRAIN_JITTER_SCALES": [54, 68],
        "DATA.INPUT_CHANNEL_NUM": [3],
        "DATA.MEAN": [0.45] * 3,
        "DATA.STD": [0.225] * 3,
        "SOLVER.BASE_LR": 0.1,
        "SOLVER.WEIGHT_DECAY": 5e-5,
        "TRAIN.BATCH_SIZE": 16,
    }
    assert {key: found[key] for key in wanted} == wanted


def test_a_test_config_pools_over_all_of_its_crop(folder: Path) -> None:
    found = flat(folder / "test_10x3.yaml")
    sides = [found[f"DATA.{name}"] for name in ("TRAIN_CROP_SIZE", "TEST_CROP_SIZE")]
    assert sides == [54, 54] and found["DATA.TRAIN_JITTER_SCALES"] == [54, 54]
    assert (found["TEST.NUM_ENSEMBLE_VIEWS"], found["TEST.NUM_SPATIAL_CROPS"]) == (10, 3)
    assert found["TRAIN.ENABLE"] is False
    assert found["TEST.CHECKPOINT_FILE_PATH"] == "weights.pyth"


def test_the_checkpoint_is_plain_and_holds_the_model_alone(folder: Path) -> None:
    held = torch.load(folder / "weights.pyth", weights_only=True)
    assert list(held) == ["model_state"]
    prefix = {name.split(".")[0] for name in held["model_state"]}
    assert prefix == {"model"}  # PTVX3D: its widths are no multiples in PySlowFast's own class


def test_the_card_says_cost_score_and_commands(folder: Path, tmp_path: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    plan = exported(tmp_path).plan
    cost = get_family("x3d").cost(plan)
    assert f"{cost.macs / 1e9:.4f} (conv + linear multiply-adds" in text
    assert f"{cost.params:,}" in text and plan.digest in text
    assert "50.0% (95% interval 35.2% to 64.8%, 40 clips)" in text
    assert "git checkout 287ec007" in text and "4,000 visits" in text
    assert "--cfg FOLDER/test_10x3.yaml" in text


def test_what_is_no_checkout_is_said(folder: Path, tmp_path: Path) -> None:
    network = exported(tmp_path)
    with pytest.raises(ExportError, match=r"--repo .* is no checkout of PySlowFast"):
        verify(network, target="pyslowfast", folder=folder, repo=tmp_path)
    (tmp_path / "slowfast").mkdir()
    (tmp_path / "slowfast" / "__init__.py").write_text("raise ImportError('no simplejson')\n")
    with pytest.raises(ExportError, match=r"does not run the export: .*no simplejson"):
        verify(network, target="pyslowfast", folder=folder, repo=tmp_path)
    with pytest.raises(ExportError, match=r"needs --repo PATH"):
        verify(network, target="pyslowfast", folder=folder)
