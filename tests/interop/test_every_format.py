"""The contract of an export target: a network is written whole and again the same, or refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from expand3d.core.errors import ExportError
from expand3d.core.plugins import FAMILIES, FORMATS, RESTRICTIONS
from expand3d.interop.formats import export
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.network_file import read_network
from expand3d.interop.verify import can_verify, verify
from expand3d.networks import get_family, plan_from_json
from tests.helpers.networks import everywhere, exported

pytestmark = pytest.mark.usefixtures("converted_once")


def of_family(name: str, folder: Path) -> ExportedNetwork:
    """The base of a family, trained in name only."""
    family = get_family(name)
    plan = family.resolve(family.base, num_classes=5)
    torch.manual_seed(0)
    save_file(family.build(plan).state_dict(), folder / "weights.safetensors")
    weights = folder / "weights.safetensors"
    return ExportedNetwork("made-up", 3, family.base, plan, recipe={}, weights=weights)


#: A conversion by torch takes seconds; every family's is in test_onnx.py, and X3D's below.
QUICK = {("torch-export", "twostream")}
CASES = [
    pytest.param(target, family, marks=[pytest.mark.slow] if slow else [])
    for target in FORMATS
    for family in FAMILIES
    for slow in [FORMATS[target].trained_only and (target, family) not in QUICK]
]


@pytest.mark.parametrize(("target", "family"), CASES)
def test_any_familys_network_is_written_or_refused_as_a_whole(
    target: str, family: str, tmp_path: Path
) -> None:
    network, out = of_family(family, tmp_path), tmp_path / "out"
    try:
        files = export(network, target=target, out=out)
    except ExportError as error:
        assert target in str(error) and len(str(error).splitlines()) == 1
        assert not out.exists()
        return
    assert files == sorted(out.iterdir())
    _, data = read_network(out)
    assert plan_from_json(data["plan"]) == network.plan
    assert data["digest"] == network.plan.digest


@pytest.mark.parametrize(
    ("target", "trained"),
    [
        pytest.param(name, True, marks=[pytest.mark.slow] if name == "onnx" else [])
        for name in FORMATS
    ]
    + [(name, False) for name, row in FORMATS.items() if not row.trained_only],
)
def test_two_exports_of_one_network_are_the_same_bytes(
    target: str, trained: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = everywhere(tmp_path, trained=trained)
    first = export(network, target=target, out=tmp_path / "first")
    assert first == sorted((tmp_path / "first").iterdir())
    assert plan_from_json(read_network(tmp_path / "first")[1]["plan"]) == network.plan
    monkeypatch.undo()  # converted once more, not the same conversion written twice
    second = export(network, target=target, out=tmp_path / "second")
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize("target", [name for name in FORMATS if name != "json"])
def test_a_card_says_what_it_is_and_how_to_run_it(target: str, tmp_path: Path) -> None:
    network = everywhere(tmp_path)
    export(network, target=target, out=tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    cost = get_family(network.plan.family).cost(network.plan)
    assert network.plan.digest in text and f"{cost.macs / 1e9:.4f}" in text
    assert f"{cost.params:,}" in text and "\n## In " in text and "```" in text


@pytest.mark.parametrize("target", FORMATS)
def test_weights_are_written_only_where_there_are_some(target: str, tmp_path: Path) -> None:
    with_weights = export(everywhere(tmp_path), target=target, out=tmp_path / "with")
    if FORMATS[target].trained_only:
        with pytest.raises(ExportError, match=r"quiet-heron, trial 7 has no weights"):
            export(
                everywhere(tmp_path, trained=False),
                target=target,
                out=tmp_path / "without",
            )
        return
    without = export(everywhere(tmp_path, trained=False), target=target, out=tmp_path / "without")
    sizes = [sum(path.stat().st_size for path in files) for files in (with_weights, without)]
    weights = everywhere(tmp_path).weights
    assert weights is not None and sizes[0] - sizes[1] > 0.9 * weights.stat().st_size


@pytest.mark.parametrize("target", [name for name, row in FORMATS.items() if can_verify(row)])
def test_what_was_written_agrees_and_another_network_does_not(target: str, tmp_path: Path) -> None:
    network = everywhere(tmp_path)
    export(network, target=target, out=tmp_path / "out")
    found = verify(network, target=target, folder=tmp_path / "out")
    assert {each.weights for each in found} == {"exported", "randomised"}
    assert network.weights is not None
    other = {name: value.clone() for name, value in load_file(network.weights).items()}
    other["res3.0.project_bn.bias"] += 0.5
    save_file(other, tmp_path / "other.safetensors")
    changed = dataclasses.replace(network, weights=tmp_path / "other.safetensors")
    with pytest.raises(ExportError, match=r"is not the network: .* DIFFERS with the exported"):
        verify(changed, target=target, folder=tmp_path / "out")


@pytest.mark.parametrize("target", FORMATS)
def test_an_option_that_a_target_does_not_have_is_refused(target: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=f"--to {target} has no 'colour'; its options are: "):
        export(
            everywhere(tmp_path),
            target=target,
            out=tmp_path / "out",
            options={"colour": 1},
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", [name for name in FORMATS if name in RESTRICTIONS])
def test_a_restriction_refuses_what_its_target_refuses(target: str, tmp_path: Path) -> None:
    """And nothing else, so that a restricted search never ends in a network without an export."""
    refusal = RESTRICTIONS.load(target)
    network = exported(tmp_path, trained=False)
    networks = [dataclasses.replace(of_family(f, tmp_path), weights=None) for f in FAMILIES]
    small = dataclasses.replace(network.plan, crop=24)
    networks += [network, dataclasses.replace(network, plan=small)]
    outcomes = []
    for place, each in enumerate(networks):
        try:
            export(each, target=target, out=tmp_path / f"out{place}")
            outcomes.append(True)
        except ExportError:
            outcomes.append(False)
    assert outcomes == [refusal(each.plan) is None for each in networks]
    assert set(outcomes) == {True, False}
