"""The memory of a training on a CPU: what the process holds of its own, at its peak.

Pages of mapped files (clips in the cache, libraries) do not count: the system takes them back when
it needs them.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import resource
import sys
from pathlib import Path

_PROCESS = Path("/proc/self")


def begin() -> None:
    """Give freed memory back and forget the peak: one training's is not the next one's.

    Where the system offers neither (not Linux), peaks are those of the whole process.
    """
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc
        trim(0)
    with contextlib.suppress(OSError):  # /proc may be read-only
        (_PROCESS / "clear_refs").write_text("5")


def peak() -> int:
    """Largest use in bytes since `begin`.

    The allocator keeps what was freed (`keep_freed_memory`), so the end shows the peak too.
    """
    try:
        status = (_PROCESS / "status").read_text()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024  # kilobytes on Linux
    found = dict(re.findall(r"(\w+):\s+(\d+) kB", status))
    own, files, most = (int(found.get(key, 0)) for key in ("RssAnon", "RssFile", "VmHWM"))
    return 1024 * max(own, most - files)


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
