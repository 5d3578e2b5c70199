"""Claims: one of many gets one, a dead owner's is free, and who lost one writes nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from expand3d.core.errors import StudyError
from expand3d.core.result import TrainingKey
from expand3d.run.runner import alone
from expand3d.study.catalog import list_studies, state_of
from expand3d.study.claims import DRIVER, WORKER, ClaimLost
from expand3d.study.lock import StudyLock
from expand3d.study.record import Record
from tests.helpers.made_up_trials import candidate, config, training
from tests.helpers.postgres_server import postgres_server
from tests.helpers.waiting import wait_for


def asleep(record: Record) -> None:
    """Nobody has shown a sign of life for longer than anybody is patient."""
    with record.claims._transaction() as run:
        run("UPDATE expand3d_claims SET seen = seen - 2 * patience")


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]
)
def server(request: pytest.FixtureRequest) -> Iterator[str | None]:
    with ExitStack() as stack:
        needed = request.param == "postgresql"
        yield stack.enter_context(postgres_server()).url if needed else None


@pytest.fixture
def opened(
    server: str | None, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[], Record]:
    """Opens the record of one study as another process would."""
    name = f"birds-{abs(hash(request.node.name)) % 10**6}"
    Record.create(config(tmp_path, name, storage=server))
    return lambda: Record.open(name, root=tmp_path, storage=server)


def test_one_of_many_gets_a_claim(opened: Callable[[], Record]) -> None:
    first, second = opened(), opened()
    assert first.claims.take("a") and not second.claims.take("a") and second.claims.take("b")
    assert [(c.name, c.alive, c.who.pid) for c in first.claims.everyone()] == [
        ("a", True, os.getpid()),
        ("b", True, os.getpid()),
    ]
    assert [claim.name for claim in first.claims.others()] == ["b"]
    second.claims.give("a")  # not its own
    assert not second.claims.take("a")
    first.claims.give("a")
    assert second.claims.take("a")


def _grab(open_: Callable[[], Record], start: Barrier, names: list[str], out: Path) -> None:
    record = open_()
    start.wait()
    got = [name for name in names if record.claims.take(name)]
    out.write_text(" ".join(got))
    os._exit(0)


def test_processes_that_reach_at_the_same_moment_share_without_overlap(
    opened: Callable[[], Record], tmp_path: Path
) -> None:
    names, fork = [f"n{i}" for i in range(20)], multiprocessing.get_context("fork")
    start = fork.Barrier(4)
    crowd = [
        fork.Process(target=_grab, args=(opened, start, names, tmp_path / f"out{i}"))
        for i in range(4)
    ]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join()
    taken = [name for i in range(4) for name in (tmp_path / f"out{i}").read_text().split()]
    assert sorted(taken) == sorted(names)


def test_who_shows_no_sign_of_life_loses_the_claim_and_can_write_no_more(
    opened: Callable[[], Record],
) -> None:
    sleeper, heir = opened(), opened()
    assert sleeper.claims.take("a")
    number = sleeper.begin(candidate(), {}, {})
    assert not heir.claims.take("a")
    asleep(heir)
    assert heir.claims.take("a") and heir.claims.losses("a") == 1
    heir.refresh()
    for write in (
        lambda: sleeper.put_training(number, TrainingKey(), training()),
        lambda: sleeper.put_training(number, TrainingKey(), training()),
    ):
        sleeper.claims._held["a"] = 0  # it does not know yet
        with pytest.raises(ClaimLost, match="somebody else has a"):
            write()
    assert opened().trial(number).trainings == {}
    heir.put_training(number, TrainingKey(), training())
    heir.finish(number, "complete")
    assert opened().trial(number).state == "complete"


def test_who_slept_and_was_not_missed_goes_on(opened: Callable[[], Record]) -> None:
    sleeper = opened()
    assert sleeper.claims.take("a")
    asleep(opened())
    assert not opened().claims.others()
    number = sleeper.begin(candidate(), {}, {})
    assert [c.name for c in opened().claims.others()] == ["a"], "writing is a sign of life"
    assert sleeper.trial(number).state == "running"


def test_signs_of_life_keep_a_claim_and_notice_that_it_is_gone(
    opened: Callable[[], Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, other = opened(), opened()
    monkeypatch.setattr("expand3d.study.claims.SIGNS", 20 * busy.claims.patience)
    with busy.claims.signs_of_life(), busy.claims.holding("a") as taken:
        assert taken
        asleep(other)
        wait_for(other.claims.others)  # a sign has come
        assert not other.claims.take("a") and not busy.claims.doubtful
        with other.claims._transaction() as run:  # as after a long sleep
            run("DELETE FROM expand3d_claims")
        wait_for(lambda: busy.claims.doubtful)
        with pytest.raises(ClaimLost):
            busy.claims.prove()
        assert not busy.claims.doubtful and not busy.claims.held("a")
        with pytest.raises(AssertionError), busy.claims.holding("b"):
            raise AssertionError
    assert other.claims.everyone() == ()


def test_a_driver_is_refused_beside_a_worker_and_a_second_driver_beside_it(
    opened: Callable[[], Record], server: str | None
) -> None:
    worker, driver = opened(), opened()
    assert worker.claims.take(f"{WORKER}x")
    assert state_of(driver) == ("running", None)
    me = rf"trained by a worker, process {os.getpid()} on .*; stop that one first"
    with StudyLock(driver.folder), pytest.raises(StudyError, match=me), alone(driver):
        pass
    assert not driver.claims.held(DRIVER)
    worker.claims.give(f"{WORKER}x")
    assert worker.claims.everyone() == () and state_of(driver) == ("new", None)
    if server is None:  # the lock alone excludes drivers, and needs no row
        return
    with StudyLock(driver.folder), alone(driver), alone(driver):
        second = opened()
        second.claims.patience = driver.claims.patience
        (claim,) = second.claims.others()
        assert claim.name == DRIVER and claim.place is not None
        assert not second.claims.take(DRIVER, place="another lock")
    assert worker.claims.everyone() == ()


def test_a_dead_drivers_claim_is_free_at_once_for_who_has_its_lock(
    opened: Callable[[], Record], server: str | None
) -> None:
    if server is None:
        pytest.skip("the lock alone excludes drivers of a file")
    pid = os.fork()
    if pid == 0:
        record = opened()
        with StudyLock(record.folder), alone(record):
            (record.folder.path / "up").touch()
            signal.pause()
    record = opened()
    wait_for((record.folder.path / "up").exists)
    assert state_of(record) == ("running", None)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert [claim.name for claim in record.claims.others()] == [DRIVER]
    assert state_of(record) == ("new", None), "its row stands, but its lock is free"
    with StudyLock(record.folder), alone(record):
        assert record.claims.held(DRIVER)


def test_a_sleeping_worker_does_not_go_on_beside_a_driver(opened: Callable[[], Record]) -> None:
    worker, driver = opened(), opened()
    assert worker.claims.take(f"{WORKER}x")
    asleep(driver)
    with StudyLock(driver.folder), alone(driver), pytest.raises(ClaimLost):
        worker.claims.take("network/a")


@pytest.mark.slow
def test_a_server_that_is_away_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    with postgres_server() as server:
        record = Record.create(config(tmp_path, storage=server.url))
        with record.claims.signs_of_life(), record.claims.holding("a"):
            number = record.begin(candidate(), {}, {})
            server.stop()
            back = threading.Timer(2, server.start)
            back.start()
            record.put_training(number, TrainingKey(), training())
            back.join()
        assert record.claims.everyone() == ()
        server.stop()
        with pytest.raises(StudyError, match="cannot be opened as a record: connection failed"):
            Record.open("birds", root=tmp_path, storage=server.url)


def test_a_missing_driver_library_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StudyError, match=r"pip install 'expand3d\[postgresql\]'") as caught:
        Record.open("birds", root=tmp_path, storage="postgresql://me:secret@127.0.0.1/db")
    assert "me:***@127" in str(caught.value)


def test_a_study_that_one_of_its_workers_finished_is_finished_though_another_died(
    tmp_path: Path,
) -> None:
    record = Record.create(config(tmp_path))
    first, second = record.start_session(), record.start_session()
    time.sleep(1.1)
    record.stop_session(first, "finished")
    assert state_of(record) == ("finished", "finished")
    record.start_session()
    assert second and list_studies(tmp_path)[0].state == "killed"
