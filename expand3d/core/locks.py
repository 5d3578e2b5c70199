"""Locks on files that die with their process, on every system that filelock knows."""

from __future__ import annotations

import os
import time
import weakref
from pathlib import Path
from types import TracebackType

#: Seconds between two attempts at a lock that somebody else has.
PAUSE_SECONDS = 0.02


class HeldFile:
    """A file that this process holds alone; the system frees it when the process dies.

    The file stays: its content may say who holds it, or who did last. A forked child does not hold
    it. May be used as a context manager.
    """

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle
        _let_go_in_children(self)

    def write(self, text: str) -> None:
        """Replace the content of the file by `text`, which `content` reads."""
        assert self._handle is not None, "no longer held"
        os.ftruncate(self._handle, 0)
        os.lseek(self._handle, 0, os.SEEK_SET)
        # Windows lets nobody else read the first byte of a file that is held.
        os.write(self._handle, b" " + text.encode())

    def close(self) -> None:
        """Let go of the file; nothing happens where that was done before."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> HeldFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def hold(path: Path, *, patience: float = 0.0) -> HeldFile | None:
    """The file, made if it is not there, now held; None where others hold it for `patience` s.

    OSError where it cannot be opened.
    """
    return _hold(path, os.O_RDWR | os.O_CREAT, patience)


def is_held(path: Path, *, patience: float = 0.0) -> bool:
    """True where another process, or another handle of this one, holds the file all the while.

    Looking takes the lock for an instant, so whoever looks at the same time needs `patience`.
    """
    try:
        mine = _hold(path, os.O_RDWR, patience)
    except FileNotFoundError:
        return False
    except OSError:  # another user's, or on a read-only disk
        mine = _hold(path, os.O_RDONLY, patience)
    if mine is not None:
        mine.close()
    return mine is None


def content(path: Path) -> str:
    """The text that the holder wrote; OSError where it cannot be read."""
    with path.open("rb", buffering=0) as file:
        try:
            return file.read().decode()
        except PermissionError:  # Windows, while it is held
            file.seek(1)
            return file.read().decode()


def _hold(path: Path, flags: int, patience: float) -> HeldFile | None:
    from filelock import lock_descriptor  # takes longer to load than some commands to answer

    handle = os.open(path, flags, 0o666)
    deadline = time.monotonic() + patience
    try:
        while not lock_descriptor(handle, blocking=False):
            if time.monotonic() >= deadline:
                os.close(handle)
                return None
            time.sleep(PAUSE_SECONDS)
    except BaseException:
        os.close(handle)
        raise
    return HeldFile(handle)


def _let_go_in_children(held: HeldFile) -> None:
    """A forked worker that outlives a killed driver must not keep its lock."""
    if not hasattr(os, "register_at_fork"):  # Windows does not fork
        return
    reference = weakref.ref(held)

    def close() -> None:
        mine = reference()
        if mine is not None:
            mine.close()

    os.register_at_fork(after_in_child=close)
