"""Presets against what fvcore counts on torchvision's and pytorchvideo's own networks: exactly."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from expand3d.networks import get_family, get_preset

with (Path(__file__).parent / "golden" / "fvcore_totals.csv").open() as _file:
    ROWS = {row["name"]: row for row in csv.DictReader(_file)}

#: A peer's network: the preset that builds it; the clips are the presets' own.
PRESETS = {
    "torchvision/r3d_18": "r3d-18",
    "torchvision/mc3_18": "mc3-18",
    "torchvision/r2plus1d_18": "r2plus1d-18-torchvision",
    "torchvision/s3d": "s3d-torchvision",
    "pytorchvideo/slow_r50": "slowonly-8x8-r50",
    "pytorchvideo/c2d_r50": "c2d-8x8-r50",
    "pytorchvideo/i3d_r50": "i3d-8x8-r50",
    "pytorchvideo/r2plus1d_r50": "r2plus1d-50-pytorchvideo",
    "pytorchvideo/slowfast_r50": "slowfast-8x8-r50",
    "pytorchvideo/slowfast_r101": "slowfast-8x8-r101-all",
    "pytorchvideo/slowfast_16x8_r101_50_50": "slowfast-16x8-r101",
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_counts_as_the_peers_network_does(name: str) -> None:
    row, preset = ROWS[name], get_preset(PRESETS[name])
    family = get_family(preset.genotype.family)
    plan = family.resolve(preset.genotype, num_classes=400)
    sizes = row["input"].rstrip("]").split("x")  # of two pathways, the faster one's are the last
    frames, crop = int(sizes[-3]), int(sizes[-2])
    assert (plan.frames, plan.crop) == (frames, crop)
    cost = family.cost(plan)
    assert cost.params == int(row["params"])
    assert cost.fvcore_flops == int(row["flops"])


def test_every_counted_network_is_a_preset() -> None:
    assert set(PRESETS) == set(ROWS)
