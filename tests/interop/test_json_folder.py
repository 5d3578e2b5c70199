"""network.json: what is written is what is read, the same network with the same logits."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from expand3d.core.errors import ExportError
from expand3d.core.recipe import Recipe, get_profile
from expand3d.interop.formats import export
from expand3d.interop.json_folder import load_export
from tests.helpers.networks import exported, logits


def test_round_trip_rebuilds_the_same_network(tmp_path: Path) -> None:
    network = exported(tmp_path)
    files = export(network, target="json", out=tmp_path / "out")
    assert [path.name for path in files] == ["README.md", "network.json", "weights.safetensors"]
    (tmp_path / "winner.safetensors").unlink()  # the export stands by itself
    back = load_export(tmp_path / "out")
    assert back.plan == network.plan
    assert back.genotype == network.genotype
    assert (back.study, back.trial, back.classes) == ("quiet-heron", 7, network.classes)
    assert back.scores == network.scores
    assert back.provenance == network.provenance
    assert Recipe.from_json(back.recipe) == get_profile("final", {"dropout": 0.5})
    again = exported(tmp_path)
    assert torch.equal(logits(back.build(), back.plan), logits(again.build(), again.plan))


def test_the_card_counts_the_clips_that_trained_it(tmp_path: Path) -> None:
    hashes = [f"{n:016x}" for n in range(3000)]
    network = dataclasses.replace(exported(tmp_path), provenance={"training_clips": hashes})
    export(network, target="json", out=tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| training clips | 3000, whose hashes are in network.json |" in text
    assert hashes[-1] not in text and "--init ./DIR" in text
    assert load_export(tmp_path / "out").provenance["training_clips"] == hashes


def test_the_file_itself_can_be_named(tmp_path: Path) -> None:
    export(exported(tmp_path), target="json", out=tmp_path / "out")
    assert load_export(tmp_path / "out" / "network.json").weights is not None


def test_integers_and_costs_stand_in_the_file(tmp_path: Path) -> None:
    export(exported(tmp_path), target="json", out=tmp_path / "out")
    data = json.loads((tmp_path / "out" / "network.json").read_text(encoding="utf-8"))
    assert data["plan"]["frames"] == 2 and data["plan"]["stride"] == 7
    assert data["plan"]["crop"] == 48 and data["plan"]["depths"] == [1, 2, 5, 3]
    assert data["cost"]["macs"] > 0
    assert data["target_fps"] == 30.0


def test_architecture_alone(tmp_path: Path) -> None:
    network = exported(tmp_path, trained=False)
    files = export(network, target="json", out=tmp_path / "out")
    assert [p.name for p in files] == ["README.md", "network.json"]
    assert "NOT trained" in files[0].read_text() and "--init" not in files[0].read_text()
    back = load_export(tmp_path / "out")
    assert back.weights is None
    assert logits(back.build(), back.plan).shape == (2, 6)


@pytest.mark.parametrize(
    "text, says",
    [
        ("{", "is not JSON"),
        ("[]", "is not a network"),
        ('{"format": "else"}', "is not a network"),
        ('{"format": "expand3d network", "version": 99}', "version 99"),
        ('{"format": "expand3d network", "version": 1, "weights": "gone"}', "'gone'"),
    ],
)
def test_what_is_no_export_is_refused_by_file(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "network.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ExportError, match=says) as error:
        load_export(tmp_path)
    assert str(file) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"gone\.json: No such file"):
        load_export(tmp_path / "gone.json")
