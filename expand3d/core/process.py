"""The share of the machine that this process has, and processes of our own."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

#: Files that say how much memory a container may use, of control groups version 2 and 1.
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")


def environment() -> dict[str, str]:
    """The environment in which a child finds the packages that this process has found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def cores() -> int:
    """Processor cores that this process may use; all of them where the system does not say."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_here(groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes of memory that this machine or its container has; None where the system does not say.

    `groups` is the folder of control groups.
    """
    found = []
    with suppress(ValueError, OSError, AttributeError):  # Windows has no sysconf
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for name in _LIMITS:
        with suppress(ValueError, OSError):  # "max" is no limit
            found.append(int((groups / name).read_text()))
    return min(found, default=None)
