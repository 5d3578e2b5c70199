"""One driver per study: a file lock that dies with its holder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
import weakref
from pathlib import Path
from types import TracebackType

from expand3d.core.errors import StudyError
from expand3d.core.files import make_folder
from expand3d.study.folder import StudyFolder, study_command
from expand3d.study.session import Session

#: A look at a lock (`holder`) takes it for an instant; a driver waits that long and no longer.
PATIENCE_SECONDS = 0.5


class StudyLock:
    """Context manager that holds `NAME/lock`; StudyError names the process that holds it already.

    The kernel frees the lock when the holder dies, however it dies. The file stays: its content
    says who holds the lock, or who did last.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._handle: int | None = None

    def __enter__(self) -> StudyLock:
        make_folder(self._folder.path)
        handle = os.open(self._folder.lock, os.O_RDWR | os.O_CREAT, 0o666)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _try(handle, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(handle)
                raise StudyError(_refusal(self._folder))
            time.sleep(0.02)
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(Session.start().to_json()).encode(), 0)
        self._handle = handle
        _let_go_in_children(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def place(folder: StudyFolder) -> str:
    """The name of this lock among those of all machines; the file must be there."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    machine = boot.read_text().strip() if boot.exists() else socket.gethostname()
    stat = folder.lock.stat()
    return f"{machine}:{stat.st_dev}:{stat.st_ino}"


def holder(folder: StudyFolder) -> Session | None:
    """The process that drives the study now, or None."""
    try:
        handle = os.open(folder.lock, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return None if _try(handle, fcntl.LOCK_SH) else _last_holder(folder.lock)
    finally:
        os.close(handle)


def _try(handle: int, kind: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
        return True
    return False


def _last_holder(path: Path) -> Session:
    try:
        return Session.from_json(json.loads(path.read_text()))
    except (ValueError, TypeError):  # caught between its lock and its first line
        return Session(pid=0, host="unknown", started="just now", command="", versions={})


def _refusal(folder: StudyFolder) -> str:
    session = _last_holder(folder.lock)
    return (
        f"study {folder.name!r} is being run by process {session.pid} on {session.host} "
        f"(started {session.started}); stop that one first, or look with: "
        f"{study_command('status', folder.name, root=folder.path.parent)}"
    )


def _let_go_in_children(lock: StudyLock) -> None:
    """A forked worker that outlives a killed driver must not keep its lock."""
    reference = weakref.ref(lock)

    def close() -> None:
        held = reference()
        if held is not None:
            held._close()

    os.register_at_fork(after_in_child=close)
