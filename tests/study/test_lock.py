from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from expand3d.core.errors import StudyError
from expand3d.study.folder import StudyFolder, study_folder
from expand3d.study.lock import StudyLock, holder
from tests.helpers.waiting import HANGS


def _hold(folder: StudyFolder, pipe: Connection, *, with_child: bool) -> None:
    with StudyLock(folder):
        child = os.fork() if with_child else 1
        if child == 0:
            signal.pause()  # a worker that outlives its driver
        pipe.send(child)
        signal.pause()


def _start(folder: StudyFolder, *, with_child: bool = False) -> tuple[int, int]:
    """Pids of a process that holds the lock, and of its child."""
    mine, theirs = multiprocessing.Pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _hold(folder, theirs, with_child=with_child)
        finally:
            os._exit(1)
    assert mine.poll(HANGS), "the holder did not start"
    return pid, mine.recv()


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_second_driver_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    folder = study_folder("birds", tmp_path)
    assert holder(folder) is None
    pid, _ = _start(folder)
    try:
        session = holder(folder)
        assert session is not None and session.pid == pid
        with (
            pytest.raises(StudyError, match=rf"'birds' is being run by process {pid} on "),
            StudyLock(folder),
        ):
            pass
    finally:
        _kill(pid)


def test_a_dead_holders_lock_is_free_at_once(tmp_path: Path) -> None:
    folder = study_folder("birds", tmp_path)
    pid, _ = _start(folder)
    _kill(pid)
    assert holder(folder) is None
    with StudyLock(folder):
        found = holder(folder)
        assert found is not None and found.pid == os.getpid()
    assert holder(folder) is None


def test_a_worker_that_outlives_its_driver_does_not_keep_the_lock(tmp_path: Path) -> None:
    folder = study_folder("birds", tmp_path)
    pid, child = _start(folder, with_child=True)
    try:
        _kill(pid)
        os.kill(child, 0)  # still there
        with StudyLock(folder):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_the_lock_is_let_go_after_an_error_and_can_be_taken_again(tmp_path: Path) -> None:
    folder = study_folder("birds", tmp_path)
    lock = StudyLock(folder)
    with pytest.raises(RuntimeError), lock:
        raise RuntimeError
    with lock, pytest.raises(StudyError), StudyLock(folder):
        pass
    assert holder(folder) is None


def test_a_torn_lock_file_still_refuses(tmp_path: Path) -> None:
    folder = study_folder("birds", tmp_path)
    with StudyLock(folder):
        folder.lock.write_text('{"pid": 1')
        found = holder(folder)
        assert found is not None and found.host == "unknown"
