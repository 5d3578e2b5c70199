"""The memory of a training on a CPU: what the process holds of its own, at its peak.

Pages of mapped files (clips in the cache, libraries) do not count: the system takes them back when
it needs them.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_PROCESS = Path("/proc/self")


def begin() -> PeakMemory:
    """The peak from here on: one training's is not the next one's, so freed memory is given back.

    Where the system lets nobody forget the peak of before, only what exceeds it is seen between
    two looks; where it is not Linux, peaks are those of the whole process.
    """
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # glibc
            trim(0)
        with contextlib.suppress(OSError):  # /proc may be read-only
            (_PROCESS / "clear_refs").write_text("5")
    return PeakMemory(_status)


def _status() -> str | None:
    """The facts of this process as Linux gives them; None elsewhere."""
    try:
        return (_PROCESS / "status").read_text()
    except OSError:
        return None


@dataclass(frozen=True)
class _Held:
    """Kilobytes of a process: its own (swapped ones too), those of files, its peak of both."""

    own: int
    files: int
    most: int

    @classmethod
    def read(cls, status: str) -> _Held:
        found = {key: int(value) for key, value in re.findall(r"(\w+):\s+(\d+) kB", status)}
        own = sum(found.get(key, 0) for key in ("RssAnon", "RssShmem", "VmSwap"))
        return cls(own, found.get("RssFile", 0), found.get("VmHWM", 0))


class PeakMemory:
    """The largest use of memory since it was made, as far as looks at the process show it.

    `status` gives the text of /proc/self/status. The system's peak counts pages of files, which it
    takes back when it likes; so they are subtracted as they were around the moment of the peak,
    not as they are in the end. What the process holds at a look counts in any case.
    """

    def __init__(self, status: Callable[[], str | None]) -> None:
        self._status = status
        self._most = 0
        self._before: _Held | None = None
        self.look()

    def look(self) -> None:
        """Take in what is held now, and what was held at most since the last look."""
        text = self._status()
        if text is None:
            return
        now, before = _Held.read(text), self._before
        self._most = max(self._most, now.own)
        if before is not None and now.most > before.most:
            # Pages came or left in between: the larger number takes nothing away from files.
            self._most = max(self._most, now.most - max(before.files, now.files))
        self._before = now

    def peak(self) -> int:
        """Largest use in bytes; 0 where the system does not tell.

        The allocator keeps what was freed (`keep_freed_memory`), so that a look between two steps
        shows what a step has used.
        """
        self.look()
        if self._before is None:
            return _peak_of_process()
        return 1024 * self._most


def _peak_of_process() -> int:
    """Bytes that the process held at most, files in it; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # kilobytes on Linux


def keep_freed_memory() -> bool:
    """True where the C library now keeps freed memory for the next tensor, as glibc can.

    By default glibc returns every block above 32 MB to the system, and each step faults its pages
    in again: a quarter of a training step at 4 x 112. Kept memory fragments, so that the peak of a
    training rises by up to a quarter. It concerns the whole process; a trainer calls it once.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    trim_threshold, mmap_max = -1, -4
    return mallopt is not None and bool(mallopt(mmap_max, 0) and mallopt(trim_threshold, 2**31 - 1))
