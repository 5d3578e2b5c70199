"""The writer is killed right before each of its commits; what it committed must all be there."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.engine import Engine

from expand3d.core.errors import StudyError
from expand3d.core.result import TrainingKey
from expand3d.study.record import Record
from tests.helpers.made_up_trials import RANGES, candidate, config, training

DATA = {"data": {"clips": 24, "fingerprint": "ab12"}}
COST = {"macs": 20_670_000}
PLAN = ((1.5, "ok"), (2.0, "diverged"))
Log = Callable[[str], None]


def _create(root: Path, log: Log) -> None:
    Record.create(config(root), attributes=DATA)
    log("created")


def _drive(root: Path, log: Log) -> None:
    """A driver in small: does what the record lacks, and says what it did."""
    record = Record.open("birds", root=root)
    record.settle()
    for width, status in PLAN:
        trial = record.find(candidate(width).digest)
        number = trial.number if trial else record.begin(candidate(width), COST, {}, ranges=RANGES)
        log(f"begun {number}")
        for key in (TrainingKey(0), TrainingKey(1)):
            if key not in record.trial(number).trainings:
                log(f"training {number} {key}")
                record.put_training(number, key, training(status=status))
                log(f"kept {number} {key}")
        if record.trial(number).state == "running":
            reason = None if status == "ok" else "diverged at epoch 3"
            record.finish(number, "complete" if status == "ok" else "failed", reason)
        log(f"finished {number}")
    if record.final() is None:
        record.set_final({"top1": 0.5})
    log("final")


def _run(root: Path, work: Callable[[Path, Log], None], *, kill_at: int) -> tuple[bool, list[str]]:
    """True where a forked process died at its write `kill_at` of `work`; and what it said.

    It kills itself right before the commit, so that the write is lost and all before it stand.
    """
    path = root / "log"
    pid = os.fork()
    if pid:
        status = os.waitpid(pid, 0)[1]
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert killed or status == 0
        return killed, path.read_text().splitlines()
    try:
        _count_writes(kill_at)
        with path.open("w", buffering=1) as file:
            work(root, lambda line: print(line, file=file, flush=True))
    except BaseException:
        os._exit(1)
    os._exit(0)


def _count_writes(kill_at: int) -> None:
    writes, dirty = 0, False

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal dirty
        dirty |= not statement.lstrip().upper().startswith(("SELECT", "PRAGMA"))

    def commit(_: object) -> None:
        nonlocal writes, dirty
        writes += dirty
        if dirty and writes == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        dirty = False

    event.listen(Engine, "before_cursor_execute", note)
    event.listen(Engine, "commit", commit)


def _check_nothing_is_lost(root: Path, lines: list[str]) -> None:
    """Every step that the killed writer called done is in the record."""
    record = Record.open("birds", root=root)
    for line in lines:
        match line.split():
            case ["begun", number]:
                assert record.trial(int(number))
            case ["kept", number, key]:
                kept = record.trial(int(number)).trainings[TrainingKey.parse(key)]
                assert kept == training(status=PLAN[int(number)][1])
            case ["finished", number]:
                assert record.trial(int(number)).state != "running"
            case ["final"]:
                assert record.final() == {"top1": 0.5}


def _check_optuna_agrees(root: Path) -> None:
    url = f"sqlite:///{root / 'birds' / 'study.db'}"
    trials = optuna.load_study(study_name="birds", storage=url).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.FAIL]
    assert trials[0].values == [0.5, 20_670_000]


@pytest.mark.slow
def test_a_start_that_was_killed_at_any_write_can_be_started_again(tmp_path: Path) -> None:
    killed, at = True, 0
    while killed:
        at += 1
        root = tmp_path / str(at)
        root.mkdir()
        killed, lines = _run(root, _create, kill_at=at)
        assert lines == ([] if killed else ["created"])
        if killed:
            with pytest.raises(StudyError):
                Record.open("birds", root=root)
            assert Record.create(config(root), attributes=DATA).trials() == ()
        record = Record.open("birds", root=root)
        assert record.config() == config(root) and record.attribute("data") == DATA["data"]
    assert at > 4, "schema, version, study, metric names and configuration are written one by one"


def test_a_driver_that_was_killed_at_any_write_loses_nothing(tmp_path: Path) -> None:
    Record.create(config(tmp_path / "new"))
    whole = tmp_path / "whole"
    shutil.copytree(tmp_path / "new", whole)
    assert not _run(whole, _drive, kill_at=0)[0]
    wanted = Record.open("birds", root=whole).trials()
    killed, at = True, 0
    while killed:
        at += 1
        root = tmp_path / str(at)
        shutil.copytree(tmp_path / "new", root)
        killed, lines = _run(root, _drive, kill_at=at)
        _check_nothing_is_lost(root, lines)
        again: list[str] = []
        _drive(root, again.append)
        assert Record.open("birds", root=root).trials() == wanted
        kept = {line.removeprefix("kept ") for line in lines if line.startswith("kept")}
        trained = {line.removeprefix("training ") for line in again if "training" in line}
        assert len(kept) + len(trained) == 4, "nothing is trained twice, and all of it once"
        _check_optuna_agrees(root)
    # Per trial: begin, two trainings, the result, telling it; and the final result.
    assert at - 1 == 2 * 5 + 1


def test_a_result_that_was_not_told_is_told_by_the_next_driver_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record.create(config(tmp_path))
    number = record.begin(candidate(), COST, {})
    record.put_training(number, "0/0", training())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            "expand3d.study.database.tell", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        record.finish(number, "complete")
    reader = Record.open("birds", root=tmp_path)
    assert reader.trial(number).state == "complete"
    study = optuna.load_study(
        study_name="birds", storage=f"sqlite:///{tmp_path / 'birds' / 'study.db'}"
    )
    assert study.trials[0].state == TrialState.RUNNING, "reading must not write"
    driver = Record.open("birds", root=tmp_path)
    assert driver.settle() == (number,) and driver.settle() == ()
    assert study.trials[0].values == [0.5, 20_670_000]
    assert reader.settle() == (number,)  # late, and harmless
    assert dataclasses.replace(driver.trial(number)) == reader.trial(number)
