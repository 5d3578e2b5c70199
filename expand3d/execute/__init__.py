"""The executors, by name; an executor's module is imported when it is asked for."""

from __future__ import annotations

import importlib

from expand3d.execute.base import Executor, Setting

EXECUTORS = {
    "here": "expand3d.execute.here:Here",
    "processes": "expand3d.execute.processes:Processes",
    "ray": "expand3d.execute.ray:Ray",
}


def get_executor(name: str, setting: Setting) -> Executor:
    """The executor called `name`, a context manager; ConfigError where it cannot do `setting`."""
    module, attribute = EXECUTORS[name].split(":")
    executor: Executor = getattr(importlib.import_module(module), attribute)(setting)
    return executor
