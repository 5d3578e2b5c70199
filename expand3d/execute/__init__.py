"""Executors by name; an executor's module is imported when it is asked for."""

from __future__ import annotations

from expand3d.core.plugins import EXECUTORS
from expand3d.execute.base import Executor, Setting


def get_executor(name: str, setting: Setting) -> Executor:
    """The executor called `name`, a context manager; ConfigError where it cannot do `setting`."""
    executor: Executor = EXECUTORS.load(name)(setting)
    return executor
