"""Waiting for what another process does, however busy the machine is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds after which a test hangs; nothing that a test asserts depends on it.
HANGS = 600.0


def wait_for(
    happened: Callable[[], T],
    *,
    process: subprocess.Popen[Any] | None = None,
    said: Callable[[], str] = str,
) -> T:
    """The value of `happened` as soon as that is true; fails where `process` ends before."""
    until = time.monotonic() + HANGS
    while True:
        over = process is not None and process.poll() is not None
        if found := happened():
            return found
        assert not over, f"the process ended before it happened: {said()}"
        assert time.monotonic() < until, f"nothing happened: {said()}"
        time.sleep(0.02)
