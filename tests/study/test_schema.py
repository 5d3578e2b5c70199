"""The JSON schema of study files: an editor takes what is legal and marks what is not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from expand3d.cli.main import main
from expand3d.core.plugins import FAMILIES, STRATEGIES
from expand3d.study.config import keys
from expand3d.study.schema import DIRECTIVE, study_schema

STUDIES = Path(__file__).resolve().parents[2] / "studies"
FILES = sorted(STUDIES.glob("*.toml"))


def mistakes(text: str) -> list[str]:
    """The mistakes that an editor would mark in the text of a study file."""
    check = jsonschema.Draft202012Validator(study_schema())
    return [error.message for error in check.iter_errors(tomllib.loads(text))]


def test_the_schema_in_studies_is_the_one_that_the_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["schema"]) == 0
    printed = capsys.readouterr().out
    kept = STUDIES / "study.schema.json"
    assert printed == kept.read_text(), "write it anew: expand3d schema > studies/study.schema.json"
    jsonschema.Draft202012Validator.check_schema(json.loads(printed))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_study_is_legal_by_it_and_names_it(path: Path) -> None:
    text = path.read_text()
    assert text.splitlines()[0] == DIRECTIVE == "#:schema study.schema.json"
    assert mistakes(text) == []


def test_there_are_studies() -> None:
    assert FILES


def test_it_has_every_key_with_help_and_default() -> None:
    found: dict[str, Any] = study_schema()["properties"]
    assert list(found) == list(keys())
    assert all(rules["description"] == keys()[key].metadata["help"] for key, rules in found.items())
    assert found["cache_cap"]["default"] == "20GiB" and found["first_clip"]["default"] == [2, 14]
    assert found["profile"]["enum"] == ["quick", "standard", "paper", "final"]
    assert found["schedule"]["enum"] == ["fit", "paper", "paper-all"]
    assert found["family"]["anyOf"][0]["enum"] == list(FAMILIES)
    assert found["strategy"]["anyOf"][0]["enum"] == list(STRATEGIES)
    assert "null" not in json.dumps(study_schema())


@pytest.mark.parametrize(
    "line",
    [
        "tim_limit = '2h'",
        "schedule = 'papr'",
        "profile = 'quik'",
        "strategy = 'tpee'",
        "family = 'x3'",
        "folds = 0",
        "folds = true",
        "repeats = 1.5",
        "ratio = 1",
        "val = 1.0",
        "final = 0",
        "first_clip = [2]",
        "first_clip = [2, 0]",
        "test_groups = [3]",
        "time_limit = 7200",
        "device = 'gpu'",
        "storage = 'db.sqlite'",
        "address = 'ray://head:10001'",
        "jitter = [1, 2]",  # a field of the recipe
        "[recipe]\nmomentun = 0.8",
        "[recipe]\nlr = 'high'",
        "[recipe]\nflip = 1",
        "[recipe]\namp = 'of'",
    ],
)
def test_it_marks_what_is_refused(line: str) -> None:
    assert mistakes(f"budget = '1G'\n{line}")


@pytest.mark.parametrize(
    "line",
    [
        "family = 'mine.nets:Family'",
        "strategy = 'mine.search:Strategy'",
        "devices = 'cuda:0,cuda:1'",
        "devices = ['cuda:0', 'cpu']",
        "val_groups = 'scene3'",
        "ratio = 2",
        "[final_recipe]\nclip_visits = 900\njitter = [1, 1.5]",
    ],
)
def test_it_takes_what_is_legal(line: str) -> None:
    assert mistakes(f"budget = '1G'\n{line}") == []


def test_a_study_has_a_budget() -> None:
    assert mistakes("seed = 1")
