"""Parts of Optuna used without its promise: each test says what to look at if one changed."""

from __future__ import annotations

import ast
import re
import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

import expand3d
from expand3d.study import optuna_inside

ROOT = Path(expand3d.__file__).parent
HERE = "study/optuna_inside.py"
#: What shows that a module reaches into Optuna: its tables, its session, its private names.
INSIDE = re.compile(
    r"scoped_session|_user_attributes|\b(FROM|JOIN|INTO|UPDATE) (trials|studies)\b|:generation"
    r"|optuna(\.\w+)*\._|samplers\._|storages\._|study\._[a-z]|trial\._trial_id",
)


def look(what: str) -> str:
    """Advice for whoever finds one of these tests failing."""
    return (
        f"Optuna {optuna.__version__} changed {what}. Look at expand3d/{HERE}: does what it does "
        "still hold? Mend it there, then this test"
    )


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database that holds a study of this version of Optuna, empty."""
    path = tmp_path / "study.db"
    optuna.create_study(storage=f"sqlite:///{path}", study_name="one")
    return path


def test_the_tables_are_those_that_the_queries_were_written_for(database: Path) -> None:
    storage = RDBStorage(f"sqlite:///{database}")
    assert storage.get_head_version() == optuna_inside.SCHEMA, look("its tables (SCHEMA)")
    with sqlite3.connect(database) as reader:
        for table, columns in optuna_inside.COLUMNS.items():
            found = {row[1] for row in reader.execute(f"PRAGMA table_info({table})")}
            assert set(columns) <= found, look(f"the columns of {table} (COLUMNS)")


def test_the_states_are_those_that_are_known(database: Path) -> None:
    ended = {state.name for state in TrialState if state.is_finished()}
    assert ended == optuna_inside.ENDED, look("the states of a trial (ENDED)")
    study = optuna.load_study(storage=f"sqlite:///{database}", study_name="one")
    study.tell(study.ask(), 1.0)
    with sqlite3.connect(database) as reader:
        states = reader.execute("SELECT state FROM trials").fetchall()
    assert states == [("COMPLETE",)], look("how a state is stored (ENDED)")


def test_the_queries_read_what_optuna_wrote(database: Path) -> None:
    study = optuna.load_study(storage=f"sqlite:///{database}", study_name="one")
    study.set_user_attr("b", [1, None])
    study.set_user_attr("a", "ü")
    first, _ = study.ask(), study.ask()
    first.set_user_attr("kept", {"x": 1})
    study.tell(first, state=TrialState.FAIL)
    with sqlite3.connect(database) as reader:

        def read(sql: str, **values: object) -> list[tuple[object, ...]]:
            return reader.execute(sql, values).fetchall()

        advice = look("what its tables hold (the queries)")
        number = optuna_inside.study_number(read, "one")
        assert number is not None and optuna_inside.study_number(read, "two") is None, advice
        assert optuna_inside.study_names(read) == ["one"], advice
        attributes = optuna_inside.study_attributes(read, number)
        assert list(attributes.items()) == [("b", [1, None]), ("a", "ü")], advice
        rows = optuna_inside.trial_rows(read, number, "kept")
        assert [row[1:] for row in rows] == [(0, True, {"x": 1}), (1, False, None)], advice


def test_a_listener_sees_each_write_before_it_is_kept(database: Path) -> None:
    storage = RDBStorage(f"sqlite:///{database}")
    advice = look("the transactions of RDBStorage (before_each_commit)")
    assert hasattr(storage, "scoped_session") and hasattr(storage, "engine"), advice
    seen = []

    def refuse(session: object) -> None:
        seen.append(session)
        raise KeyboardInterrupt

    optuna_inside.before_each_commit(storage, refuse)
    with pytest.raises(KeyboardInterrupt):
        storage.set_study_user_attr(storage.get_study_id_from_name("one"), "key", 1)
    assert len(seen) == 1, advice
    again = RDBStorage(f"sqlite:///{database}")
    assert again.get_study_user_attrs(again.get_study_id_from_name("one")) == {}, advice
    assert optuna_inside.engine(storage).name == "sqlite", advice


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("kind", [optuna.samplers.NSGAIISampler, optuna.samplers.NSGAIIISampler])
def test_a_genetic_sampler_finds_our_marks_and_its_parents(kind: type) -> None:
    advice = look(f"the inside of {kind.__name__} (generation_mark, select_parents)")
    population, sampler = 4, kind(population_size=4, seed=0)
    mark = optuna_inside.generation_mark(sampler, 0)
    study = optuna.create_study(sampler=sampler)
    for number in range(population):
        trial = optuna.trial.create_trial(value=float(number), system_attrs=mark)
        study.add_trial(trial)
    stored = study.get_trials()[0]
    assert sampler.get_trial_generation(study, stored) == 0, advice
    assert len(sampler.get_population(study, 0)) == population, advice
    optuna_inside.select_parents(kind(population_size=4, seed=1), study, 1)
    kept = study._storage.get_study_system_attrs(study._study_id)
    assert [key for key in kept if key.startswith(f"{kind.__name__}:parent:")], advice


def test_nothing_else_reaches_into_optuna() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if any(INSIDE.search(text) for text in _code(path))
    }
    assert found == {HERE}, f"move it to {HERE}, which one test guards"


def _code(path: Path) -> list[str]:
    """The imports, attributes and text constants of a module, docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found.append(f"{node.module}.")
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            found.append(_dotted(node))
        elif isinstance(node, ast.Constant) and id(node) not in docstrings:
            found.append(str(node.value))
    return found


def _dotted(node: ast.expr) -> str:
    """The names of an attribute as they are written, `.a.b` behind what is no name."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
