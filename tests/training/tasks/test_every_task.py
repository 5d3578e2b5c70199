"""The contract of a training task: it stands in the table and has all that the loop asks for."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import pytest

from expand3d.core.plugins import TASKS
from expand3d.training import tasks
from expand3d.training.loop import Task


def test_every_task_has_a_row() -> None:
    found = {
        f"{module.__name__}:{name}"
        for info in pkgutil.iter_modules(tasks.__path__, f"{tasks.__name__}.")
        for module in [importlib.import_module(info.name)]
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and hasattr(value, "test")
    }
    assert found == {row.target for row in TASKS.values()}


@pytest.mark.parametrize("name", TASKS)
def test_it_has_what_the_loop_asks_for_and_holds_no_state(name: str) -> None:
    task = TASKS.load(name)
    assert TASKS[name].help
    fields = {item.name for item in dataclasses.fields(task)}
    wanted = [member for member in vars(Task) if not member.startswith("_")]
    assert {"build", "batch", "forward", "test", "seed"} <= set(wanted)
    assert [member for member in wanted if not hasattr(task, member) and member not in fields] == []
    assert task.__dataclass_params__.frozen
    for method in ("batch", "forward", "test"):
        theirs, ours = (inspect.signature(getattr(kind, method)) for kind in (task, Task))
        assert list(theirs.parameters) == list(ours.parameters)
