"""import(export(x)) is x, for every target whose weights can be read again and every family."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from expand3d.core.genotype import Genotype
from expand3d.core.plugins import CODEBASES, FAMILIES, FORMATS
from expand3d.interop.formats import export
from expand3d.interop.import_weights import IMPORTED, described, import_weights, weights_in
from expand3d.interop.json_folder import load_export
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.random_weights import randomised
from expand3d.networks import get_family, get_preset
from expand3d.networks.example import example
from tests.helpers.networks import everywhere, grown

#: Targets whose folders hold weights under names.
TARGETS = [name for name in FORMATS if name in CODEBASES or name == "json"]
#: Families that targets with networks of their own build.
BUILT = {
    "pytorchvideo": ("x3d", "slowfast", "slowonly", "csn", "r2plus1d"),
    "pyslowfast": ("x3d", "slowfast", "slowonly", "csn", "r2plus1d"),
    "mmaction2": ("x3d", "slowfast", "slowonly", "csn", "c3d", "tsn"),
}
#: Presets of depths that those have.
THEIRS = {
    "slowfast": "slowfast-8x8-r50",
    "slowonly": "i3d-8x8-r50",
    "csn": "ir-csn-50",
    "r2plus1d": "r2plus1d-50-pytorchvideo",
    "c3d": "c3d-ucf101",
    "tsn": "tsn-r18-1x1x8",
}


def large(target: str, family: str, size: str) -> bool:
    """True for C3D, whose fully connected layers are 200 MB, and SlowFast at half its width."""
    return family == "c3d" or (target in BUILT and (family, size) == ("slowfast", "grown"))


CASES = [
    pytest.param(*case, marks=[pytest.mark.slow] if large(*case) else [])
    for target in TARGETS
    for family in BUILT.get(target, FAMILIES)
    for size in (
        ("base", "grown") if target not in BUILT or family in ("x3d", "slowfast") else ("base",)
    )
    for case in [(target, family, size)]
]


def genotype_of(family: str, target: str, size: str) -> Genotype:
    """The base or a grown one; where others build it, one of a depth they have."""
    if family in THEIRS and target in BUILT:
        genotype = get_preset(THEIRS[family]).genotype
        if family in ("c3d", "tsn"):  # of one width there
            return genotype.replace(gamma_s=64 / 112)
        small = {"gamma_t": 8, "gamma_s": 64 / 112, "gamma_w": 0.25 if size == "base" else 0.5}
        if family != "slowfast":
            small["gamma_w"] = 0.125
        return genotype.replace(**small)
    return get_family(family).base if size == "base" else grown(family)


def made(family: str, genotype: Genotype, folder: Path) -> ExportedNetwork:
    plan = get_family(family).resolve(genotype, num_classes=5)
    weights = folder / "winner.safetensors"
    save_file(randomised(get_family(family).build(plan).state_dict()), weights)
    return ExportedNetwork(
        *("heron", 3, genotype, plan, {}),
        classes=tuple("abcde"),
        target_fps=25.0,
        provenance={"training_clips": ["17"]},
        weights=weights,
    )


def read_again(network: ExportedNetwork, target: str, folder: Path) -> ExportedNetwork:
    export(network, target=target, out=folder / "there", nearest=bool(FORMATS[target].speller))
    file = weights_in(folder / "there")
    beside = described(file)
    assert beside is not None
    import_weights(file, beside, out=folder / "back")
    return load_export(folder / "back")


@pytest.mark.parametrize(("target", "family", "size"), CASES)
def test_what_was_exported_comes_back_the_same(
    target: str, family: str, size: str, tmp_path: Path
) -> None:
    network = made(family, genotype_of(family, target, size), tmp_path)
    assert_same(network, read_again(network, target, tmp_path))


def assert_same(network: ExportedNetwork, back: ExportedNetwork) -> None:
    assert (back.plan, back.genotype) == (network.plan, network.genotype)
    assert (back.classes, back.target_fps) == (network.classes, network.target_fps)
    assert back.provenance["training_clips" if "training_clips" in network.provenance else "data"]
    assert len(back.provenance[IMPORTED]["sha256"]) == 64
    assert network.weights is not None and back.weights is not None
    ours, theirs = load_file(network.weights), load_file(back.weights)
    assert ours.keys() == theirs.keys()
    apart = {name for name in ours if not ours[name].equal(theirs[name])}
    # pytorchvideo has no BatchNorm on that shortcut: it is folded into what it scales and shifts.
    shortcut = "res2.0.shortcut"
    assert {name for name in apart if not name.startswith(shortcut)} <= {"res2.0.project_bn.bias"}
    if apart:
        clips = example(network.plan, 2)
        with torch.no_grad():
            wanted = network.build()(*clips)
            torch.testing.assert_close(back.build()(*clips), wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("target", TARGETS)
def test_a_second_round_changes_no_bit(target: str, tmp_path: Path) -> None:
    network = everywhere(tmp_path)
    (tmp_path / "once").mkdir()
    once = read_again(network, target, tmp_path / "once")
    (tmp_path / "twice").mkdir()
    twice = read_again(once, target, tmp_path / "twice")
    assert_same(network, once)
    assert once.weights is not None and twice.weights is not None
    first, second = load_file(once.weights), load_file(twice.weights)
    assert all(first[name].equal(second[name]) for name in first)


def test_the_codebase_is_found_by_names_and_may_be_said(tmp_path: Path) -> None:
    network = everywhere(tmp_path)
    for target in set(TARGETS) - {"json"}:
        export(network, target=target, out=tmp_path / target)
        file = weights_in(tmp_path / target)
        plain = dataclasses.replace(network, weights=None, provenance={})
        for asked in (None, target):
            made = import_weights(
                file, plain, out=tmp_path / f"{target}-{asked}", codebase=asked, force=True
            )
            note = made.notes[0].lower()
            assert note.startswith("names: ") and note.endswith("; 6 classes")
            assert "ours" not in note
