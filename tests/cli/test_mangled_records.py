"""A record that holds something unexpected never crashes what reads it."""

from __future__ import annotations

import copy
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from expand3d.cli.main import main
from tests.helpers import ROOT
from tests.helpers.examples import examples

STUDY = ROOT / "tests/assets/records/v0.1/studies/finished"
#: What stands in place of a value; numbers stay small, since a budget is a search of that size.
ODD = (None, True, -1, 0, 2.5, "x", "", [], [[]], {}, {"x": 1}, [None])

Place = tuple[str, str, tuple[Any, ...]]


def attributes(database: Path) -> list[tuple[str, str, Any]]:
    """Every attribute of study and trials: its table, its row, its value."""
    with sqlite3.connect(database) as connection:
        return [
            (table, row, json.loads(text))
            for table in ("study_user_attributes", "trial_user_attributes")
            for row, text in connection.execute(f"select rowid, value_json from {table}")
        ]


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside one."""
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value[:2])
        if isinstance(value, list)
        else ()
    )
    return [path, *(deeper for key, item in inside for deeper in paths(item, (*path, key)))]


PLACES: list[Place] = [
    (table, row, path)
    for table, row, value in attributes(STUDY / "study.db")
    for path in paths(value)
]


def mangled(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """The value with `odd` at a place, or nothing there where `odd` is Ellipsis."""
    if not path:
        return None if odd is ... else odd
    value = copy.deepcopy(value)
    inside = value
    for key in path[:-1]:
        inside = inside[key]
    if odd is ...:
        del inside[path[-1]]
    else:
        inside[path[-1]] = odd
    return value


def write(database: Path, place: Place, odd: Any) -> None:
    table, row, path = place
    with sqlite3.connect(database) as connection:
        query = f"select value_json from {table} where rowid = ?"
        (text,) = connection.execute(query, (row,)).fetchone()
        new = json.dumps(mangled(json.loads(text), path, odd))
        connection.execute(f"update {table} set value_json = ? where rowid = ?", (new, row))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


def read(root: Path, *commands: list[str]) -> None:
    for command in commands:
        assert main([*command, "--root", str(root)]) in (0, 2), command


STARTED = next(p for p in PLACES if p[0].startswith("study") and p[2] == ("started",))
STOPPED = next(p for p in PLACES if p[0].startswith("study") and p[2] == ("stopped",))


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.sampled_from(PLACES), odd=st.sampled_from([..., *ODD]))
@example(place=STARTED, odd=True)
@example(place=STOPPED, odd=True)
def test_status_and_pareto_say_a_line_or_print(
    root: Path, place: Place, odd: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(STUDY, root / "finished", dirs_exist_ok=True)
    write(root / "finished/study.db", place, odd)
    name = "finished"
    read(root, ["status", name], ["status", name, "--json"], ["pareto", name], ["studies"])
    read(root, ["pareto", name, "--csv"])
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert all(line.startswith("expand3d ") for line in said.splitlines())


@settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.sampled_from(PLACES), odd=st.sampled_from([..., *ODD]))
def test_reports_say_a_line_or_are_written(root: Path, place: Place, odd: Any) -> None:
    shutil.copytree(STUDY, root / "finished", dirs_exist_ok=True)
    write(root / "finished/study.db", place, odd)
    read(root, ["report", "finished", "--out", str(root / "report")])


def test_the_line_names_the_trial(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(STUDY, root / "finished", dirs_exist_ok=True)
    place = next(p for p in PLACES if p[0].startswith("trial") and p[2] == ("candidate", "plan"))
    write(root / "finished/study.db", place, ...)
    assert main(["status", "finished", "--root", str(root)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "study 'finished': trial 0 holds something unexpected (KeyError: 'plan')" in line
    assert main(["studies", "--root", str(root)]) == 0
    assert "unreadable" in capsys.readouterr().out
