"""docs/history.md: each of the twelve systems has its paragraph and a command that works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from expand3d.cli.main import main, parser_for
from expand3d.networks import get_family, get_preset

PAGE = (Path(__file__).parent.parent / "docs" / "history.md").read_text(encoding="utf-8")
SYSTEMS = {
    "Two-stream networks": "twostream",
    "Convolutional fusion": "fusion",
    "TSN": "tsn",
    "Hidden two-stream networks": "hidden_twostream",
    "C3D": "c3d",
    "R3D": "r3d",
    "R(2+1)D": "r2plus1d",
    "T3D": "t3d",
    "I3D": "i3d_twostream",
    "S3D": "s3d",
    "SlowFast": "slowfast",
    "X3D": "x3d",
}
PARAGRAPHS = {
    found[1]: found[0]
    for found in re.finditer(r"^\*\*(.+?)\*\* \((?:.|\n)+?(?=^\*\*|^## |\Z)", PAGE, re.MULTILINE)
}


def test_the_twelve_systems_have_their_paragraphs() -> None:
    assert PARAGRAPHS.keys() == SYSTEMS.keys()


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_systems_command_is_of_its_family(name: str) -> None:
    commands = re.findall(r"^    expand3d (.+)$", PARAGRAPHS[name], re.MULTILINE)
    verb, flag, preset = commands[0].split()
    assert (verb, flag) == ("cost", "--preset")
    found = get_preset(preset)
    assert found.genotype.family == SYSTEMS[name]
    assert get_family(SYSTEMS[name]).resolve(found.genotype, num_classes=found.num_classes)
    for command in commands:
        verb, *words = shlex.split(command)
        parser_for(verb).parse_args(words)  # which ends the test where a word is unknown


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_systems_command_costs_a_network(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = re.findall(r"^    expand3d (.+)$", PARAGRAPHS[name], re.MULTILINE)[0]
    assert main(shlex.split(first)) == 0
    assert capsys.readouterr().out.startswith(f"{SYSTEMS[name]}: ")
