"""The contract of an executor, whatever its workers do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from expand3d.core.errors import ConfigError, DataError, StudyError
from expand3d.core.plugins import EXECUTORS
from expand3d.core.process import environment
from expand3d.core.result import Interrupted, TrainingKey
from expand3d.execute import get_executor
from expand3d.execute.base import Executor, Setting
from expand3d.study.config import StudyConfig
from tests.helpers.stages import Stage, Told, bench
from tests.helpers.waiting import HANGS, wait_for

SLOW = pytest.mark.slow
EVERY = ["here", "processes", pytest.param("ray", marks=SLOW)]
#: Those whose workers can die without the driver.
APART = EVERY[1:]


@contextmanager
def opened(name: str, home: Path, *, grace: float = 20.0) -> Iterator[Executor]:
    setting = Setting(home, workers=1 if name == "here" else 2, grace=grace)
    with get_executor(name, setting) as executor:
        yield executor


def never() -> bool:
    return False


def after(done: Callable[[], bool], seconds: float = HANGS) -> Callable[[], bool]:
    """True from the moment that `done` is; fails where that takes too long."""
    until = time.monotonic() + seconds

    def stop() -> bool:
        assert time.monotonic() < until, "nothing happened"
        return done()

    return stop


def gone(pid: int) -> bool:
    """True where a process has ended; a zombie counts, its parent may be slow to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_table_holds_what_a_study_may_ask_for() -> None:
    for name in EXECUTORS:
        assert StudyConfig(budget="1G", executor=name).executor == name
    with pytest.raises(ConfigError, match="here, processes, ray"):
        StudyConfig(budget="1G", executor="threads")


@pytest.mark.parametrize("name", EVERY)
def test_every_training_is_told_once_and_equal_to_the_driver_s_own(name: str, home: Path) -> None:
    stage, told = Stage(home, ["train"] * 4), Told()
    with opened(name, home) as executor:
        executor.run(stage.assignments(), told, never)
        assert stage.begun == [0, 1, 2, 3]
        # The same executor takes another batch.
        more = Told()
        for path in (home / "checkpoints").iterdir():
            path.unlink()
        executor.run(stage.assignments(), more, never)
    (home / "own").mkdir()
    with opened("here", home) as here:
        own = Told()
        here.run(Stage(home / "own", stage.deeds).assignments(), own, never)
    assert told.trained_ == own.trained_ == more.trained_
    assert set(told.trained_) == {
        (n, key) for n in range(4) for key in (TrainingKey(), TrainingKey(1))
    }
    assert told.ended_ == dict.fromkeys(range(4))
    assert told.shown and told.shown <= set(range(4))


@pytest.mark.parametrize("name", EVERY)
def test_what_is_raised_is_a_reason_and_the_others_go_on(name: str, home: Path) -> None:
    stage, told = Stage(home, ["train", "raise", "memory", "train"]), Told()
    with opened(name, home) as executor:
        executor.run(stage.assignments(), told, never)
    assert told.ended_ == {
        0: None,
        1: "RuntimeError: a kernel broke",
        2: "out of memory: no room for 3 GB",
        3: None,
    }


@pytest.mark.parametrize("name", EVERY)
def test_a_user_s_error_ends_the_run_as_what_it_is(name: str, home: Path) -> None:
    stage, told = Stage(home, ["slow", "no data"]), Told()
    if name == "here":
        stage.play(["train", "no data"])
    with opened(name, home) as executor, pytest.raises(DataError, match=r"clip3\.mp4: is gone"):
        executor.run(stage.assignments(), told, never)
    assert 1 not in told.ended_


@pytest.mark.parametrize("name", EVERY)
def test_a_training_to_some_visits_is_trained_on_from_there(name: str, home: Path) -> None:
    stage, told = Stage(home, ["train"] * 3, visits=3), Told()
    with opened(name, home) as executor:
        executor.run(stage.assignments(), told, never)
        keys = (TrainingKey(visits=3), TrainingKey(1, visits=3))
        assert set(told.trained_) == {(n, key) for n in range(3) for key in keys}
        assert {training.clip_visits for training in told.trained_.values()} == {3}
        stage.visits = None
        whole = Told(dict(told.trained_))
        executor.run(stage.assignments(whole), whole, never)
    assert whole.ended_ == dict.fromkeys(range(3))
    assert set(whole.trained_) - set(told.trained_) == {
        (n, key) for n in range(3) for key in (TrainingKey(), TrainingKey(1))
    }
    for number in range(3):
        begun = [row[1:3] for row in stage.log() if row[0] == number]
        assert begun == [("0/0", 0), ("1/0", 0), ("0/0", 3), ("1/0", 3)]


@pytest.mark.parametrize("name", APART)
def test_a_worker_that_is_killed_is_replaced_and_its_training_goes_on(
    name: str, home: Path
) -> None:
    stage, told = Stage(home, ["train", "die once", "train"]), Told()
    with opened(name, home) as executor:
        executor.run(stage.assignments(), told, never)
    assert told.ended_ == dict.fromkeys(range(3))
    # It died after step 2 of each training: the next process had that checkpoint.
    assert [row[1:3] for row in stage.log() if row[0] == 1] == [
        ("0/0", 0),
        ("0/0", 2),
        ("1/0", 0),
        ("1/0", 2),
    ]
    assert told.trained_[1, TrainingKey()].notes == ("from step 2",)


@pytest.mark.parametrize("name", APART)
def test_a_training_that_kills_its_workers_fails_for_that_reason(name: str, home: Path) -> None:
    stage, told = Stage(home, ["die", "train"]), Told()
    with opened(name, home) as executor:
        executor.run(stage.assignments(), told, never)
    assert told.ended_[1] is None
    assert told.ended_[0] is not None and "worker lost" in told.ended_[0]
    assert len([row for row in stage.log() if row[0] == 0]) == 3  # once, and two more tries


@pytest.mark.parametrize("name", APART)
def test_a_training_that_hangs_is_ended_from_outside(name: str, home: Path) -> None:
    stage, told = Stage(home, ["hang", "train", "train"], timeout=2.0), Told()
    with opened(name, home, grace=3.0) as executor:
        executor.run(stage.assignments(), told, never)
    assert told.ended_[1] is None and told.ended_[2] is None
    assert told.ended_[0] is not None and told.ended_[0].startswith("timeout: ")
    assert all(gone(pid) for number, _, _, pid in stage.log() if number == 0)


@pytest.mark.parametrize("name", EVERY)
def test_a_stop_leaves_checkpoints_and_everything_else_is_done_later(name: str, home: Path) -> None:
    stage, told = Stage(home, ["train", "slow", "slow", "slow"]), Told()

    def at_work() -> bool:
        return (0 in told.ended_) and any(row[0] == 1 for row in stage.log())

    with opened(name, home) as executor, pytest.raises(Interrupted):
        if name == "here":  # its stop is only asked by the training itself
            stage.play(["train"] * 4)
        executor.run(stage.assignments(), told, after(at_work))
    assert 3 not in told.ended_ and 3 not in stage.begun
    assert all(gone(pid) for *_, pid in stage.log() if pid != os.getpid())
    stage.play(["train"] * 4)
    with opened("here", home) as here:
        here.run(stage.assignments(told), told, never)
    assert told.ended_ == dict.fromkeys(range(4))
    trained = {(number, key) for number, key, start, _ in stage.log()}
    assert len([row for row in stage.log() if row[:2] == (0, "0/0")]) == 1
    assert trained == {(number, str(key)) for number, key in told.trained_}


@pytest.mark.parametrize("name", APART)
def test_a_worker_that_would_train_something_else_is_refused(name: str, home: Path) -> None:
    stage = Stage(home, ["train"])
    other = iter([(stage.assignment(0, identity="0" * 16), bench())])
    with (
        opened(name, home) as executor,
        pytest.raises(StudyError, match="same version of expand3d"),
    ):
        executor.run(other, Told(), never)
    assert not stage.log()


def test_one_process_does_not_take_several_networks() -> None:
    with pytest.raises(ConfigError, match="workers = 3 needs executor = 'processes' or 'ray'"):
        get_executor("here", Setting(Path(), workers=3))


def test_a_worker_that_cannot_begin_ends_the_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        opened("processes", home) as executor,
        pytest.raises(StudyError, match="ended with code 1"),
    ):
        executor.run(Stage(home, ["train"]).assignments(), Told(), never)


def test_devices_go_round_among_the_workers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from expand3d.execute.processes import _Worker

    start, wanted = _Worker.start, []

    def spy(device: str | None) -> _Worker:
        wanted.append(device)
        return start(None)

    monkeypatch.setattr(_Worker, "start", spy)
    stage = Stage(home, ["train"] * 3)
    setting = Setting(home, workers=3, devices=("cuda:0", "cuda:1"))
    with get_executor("processes", setting) as executor:
        executor.run(stage.assignments(), Told(), never)
    assert wanted == ["cuda:0", "cuda:1", "cuda:0"]


DRIVER = """
from pathlib import Path
from expand3d.execute import get_executor
from expand3d.execute.base import Setting
from tests.helpers.stages import Stage, Told
home = Path({home!r})
with get_executor({name!r}, Setting(home, workers=2)) as executor:
    executor.run(Stage(home, ["slow", "hang"]).assignments(), Told(), lambda: False)
"""


@pytest.mark.parametrize("own", ["processes", pytest.param("ray", marks=SLOW)])
def test_workers_end_with_a_driver_that_is_killed(own: str, home: Path) -> None:
    code = DRIVER.format(home=str(home), name=own)
    driver = subprocess.Popen([sys.executable, "-c", code], env=environment())
    log = home / "log"
    wait_for(lambda: log.exists() and len(log.read_text().splitlines()) == 2, process=driver)
    pids = [int(line.split()[-1]) for line in log.read_text().splitlines()]
    assert len({*pids, driver.pid}) == 3
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    wait_for(lambda: all(gone(pid) for pid in pids), said=lambda: "a worker outlives its driver")
