"""Packages that are verbs too: `expand3d.cost(plan)` costs, and `expand3d.cost.price` is a module.

The Python API and the folders share the two words that fit both. A module whose class has
`__call__` can be both at once, whoever imports which of them first.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def make_callable(package: str, target: str) -> None:
    """Let calling `package` call `target`, "module:function", which is imported only then."""

    class Verb(ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            module, _, function = target.partition(":")
            return getattr(importlib.import_module(module), function)(*args, **kwargs)

    sys.modules[package].__class__ = Verb
