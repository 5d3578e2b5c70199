"""A refusal names the nearest network that the target can build, and that one can be written."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import ExportError
from expand3d.core.genotype import Genotype
from expand3d.core.plugins import FAMILIES, FORMATS, RESTRICTIONS
from expand3d.interop.formats import export
from expand3d.interop.json_folder import load_export
from expand3d.interop.nearest import fitted
from expand3d.interop.network import ExportedNetwork
from expand3d.networks import all_presets, get_family
from expand3d.networks.families.x3d import FAMILY
from tests.helpers.networks import exported, grown

#: The families of which each target builds some networks.
BUILT = {
    "pytorchvideo": {"x3d", "slowfast", "slowonly", "csn", "r2plus1d"},
    "pyslowfast": {"x3d", "slowfast", "slowonly", "csn", "r2plus1d"},
    "mmaction2": {"x3d", "slowfast", "slowonly", "csn", "r2plus1d", "c3d", "tsn"},
}
TARGETS = [name for name, row in FORMATS.items() if row.speller]


def untrained(genotype: Genotype) -> ExportedNetwork:
    plan = get_family(genotype.family).resolve(genotype, num_classes=5)
    return ExportedNetwork("heron", 3, genotype, plan, {})


def macs(network: ExportedNetwork) -> int:
    return get_family(network.plan.family).cost(network.plan).macs


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("preset", [n for n in all_presets() if n.startswith(("x3d", "slowfast"))])
def test_every_preset_of_a_family_that_is_built_there_has_a_nearest(
    preset: str, target: str, tmp_path: Path
) -> None:
    network = untrained(all_presets()[preset].genotype)
    found = fitted(network, target, nearest=True)
    shallow = preset == "slowfast-8x8-r18"  # no ResNet of one block a stage is known there
    assert abs(math.log(macs(found) / macs(network))) < math.log(3 if shallow else 1.25)
    export(found, target=target, out=tmp_path / "out", nearest=True)
    # But for MMAction2's slow frames a search that is restricted to the target may propose it.
    reason = RESTRICTIONS.load(target)(found.plan)
    assert reason is None or "slow frames" in reason


def test_the_nearest_is_the_nearest_of_all_that_are_built_there() -> None:
    """X3D in MMAction2: widths are a multiple of 8, doubled; every one of them is looked at."""
    network = untrained(all_presets()["x3d-xl"].genotype)
    apart = []
    for stem in range(8, 73, 8):
        plan = FAMILY.resolve(network.genotype.replace(gamma_w=stem / 24), num_classes=5)
        assert plan.widths == (stem, 2 * stem, 4 * stem, 8 * stem)
        apart.append(abs(math.log(FAMILY.cost(plan).macs / macs(network))))
    found = fitted(network, "mmaction2", nearest=True)
    assert abs(math.log(macs(found) / macs(network))) == pytest.approx(min(apart))


def test_a_refusal_names_it_with_its_cost(tmp_path: Path) -> None:
    network = exported(tmp_path)
    with pytest.raises(ExportError) as error:
        export(network, target="mmaction2", out=tmp_path / "out")
    text = str(error.value)
    assert "widths = (16, 24, 48, 96)" in text and text.count("\n") == 0
    assert "the nearest network has gamma_w = 0.333333 for 0.5 and costs " in text or (
        "the nearest network has gamma_w = 0.666667 for 0.5 and costs " in text
    )
    assert text.endswith("; --nearest takes it") and " MMACs for " in text
    found = fitted(network, "mmaction2", nearest=True)
    assert found.weights is None and not found.scores
    assert "not trained" in found.provenance["made_by"]


def test_the_command_says_what_it_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "--preset", "x3d-xl", "--to", "mmaction2", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "--nearest takes it" in capsys.readouterr().err
    assert main([*words, "--nearest", "--no-verify"]) == 0
    told = capsys.readouterr().out
    assert "untrained, the nearest that can be built: gamma_w = " in told
    network = load_export(tmp_path / "out")
    assert network.plan.widths[1] == 2 * network.plan.widths[0]  # type: ignore[attr-defined]


def test_a_target_that_writes_every_network_has_no_nearest(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="--to json writes every network"):
        export(exported(tmp_path), target="json", out=tmp_path / "out", nearest=True)


@pytest.mark.parametrize("target", TARGETS)
def test_another_family_has_none(target: str) -> None:
    for family in set(FAMILIES) - BUILT[target]:
        for genotype in (get_family(family).base, grown(family)):
            with pytest.raises(ExportError, match="--to json writes every family"):
                fitted(untrained(genotype), target, nearest=True)
