"""Direct reading of the database against what Optuna reads from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from expand3d.core.errors import StudyError
from expand3d.core.result import TrainingKey
from expand3d.study.database import Database, open_storage, writing
from expand3d.study.folder import study_folder
from expand3d.study.record import TRIAL, Record
from tests.helpers.made_up_trials import RANGES, candidate, config, training


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A complete and a running trial of ours; of others one in each of Optuna's states."""
    record = Record.create(config(tmp_path), attributes={"later": [1, {"ü": None}], "a": 0.1})
    first = record.begin(candidate(), {"macs": 1}, {}, ranges=RANGES)
    record.put_training(first, TrainingKey(), training())
    record.finish(first, "complete")
    record.begin(candidate(2.0, step=1), {"macs": 2}, {}, ranges=RANGES)
    study = optuna.load_study(study_name=record.name, storage=f"sqlite:///{record.folder.database}")
    for state in TrialState:
        values = [0.5, 1.0] if state is TrialState.COMPLETE else None
        study.add_trial(create_trial(state=state, values=values, user_attrs={"theirs": 1}))
    return record


def test_trials_and_attributes_are_those_that_optuna_reads(record: Record) -> None:
    database = Database(record.folder, None)
    number = database.study(record.name)
    assert number is not None and database.study("another") is None
    assert database.names() == [record.name]
    theirs = open_storage(record.folder, None)
    assert number == theirs.get_study_id_from_name(record.name)
    kept = theirs.get_study_user_attrs(number)
    assert database.attributes(number) == kept
    assert [*database.attributes(number)][:2] == ["later", "a"]  # as they were written
    rows, frozen = database.trials(number, TRIAL), theirs.get_all_trials(number)
    assert len(rows) == 2 + len(TrialState)
    assert [(row.identifier, row.number, row.finished, row.attribute) for row in rows] == [
        (trial._trial_id, trial.number, trial.state.is_finished(), trial.user_attrs.get(TRIAL))
        for trial in frozen
    ]
    assert {row.finished for row in rows} == {True, False}


def test_studies_of_one_storage_are_kept_apart(record: Record) -> None:
    other = open_storage(record.folder, None)
    second = optuna.create_study(storage=other, study_name="second", directions=["minimize"])
    second.add_trial(create_trial(value=0.0, user_attrs={TRIAL: "of the second"}))
    database = Database(record.folder, None)
    assert sorted(database.names()) == sorted(["second", record.name])
    number = database.study("second")
    assert number is not None and database.attributes(number) == {}
    assert [row.attribute for row in database.trials(number, TRIAL)] == ["of the second"]


def test_looking_at_a_file_does_not_import_optuna(record: Record) -> None:
    looks = (
        "import sys; from expand3d.study.record import Record; "
        f"record = Record.open({record.name!r}, root={str(record.folder.path.parent)!r}); "
        "assert len(record.trials()) == 2 and not record.claims.everyone(); "
        "assert 'optuna' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", looks], check=True)


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_not_a_database_is_said_in_one_line(tmp_path: Path, content: bytes) -> None:
    folder = study_folder("broken", tmp_path).make()
    folder.database.write_bytes(content)
    with pytest.raises(StudyError, match=r"study\.db: cannot be opened as a record") as failure:
        Record.open("broken", root=tmp_path)
    assert "\n" not in str(failure.value)


def test_a_locked_database_names_the_resume_command() -> None:
    from optuna.exceptions import StorageInternalError

    def refused() -> None:
        with writing("birds", "expand3d resume birds --root there"):
            raise StorageInternalError("failed") from OSError("database is locked")

    with pytest.raises(StudyError, match="locked by another process") as told:
        refused()
    assert str(told.value).endswith("continue with: expand3d resume birds --root there")
