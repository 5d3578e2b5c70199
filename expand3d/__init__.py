"""Finds the video-recognition network that is most accurate inside your budget.

    >>> import expand3d
    >>> plan = expand3d.resolve(expand3d.get_preset("x3d-s").genotype)
    >>> f"{expand3d.cost(plan).macs / 1e9:.2f} GMACs"
    '1.96 GMACs'

Importing this loads no torch; `build`, `run` and `load_study` do when they are called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from expand3d.api import build, cost, load_study, presets, resolve
    from expand3d.core.genotype import Genotype
    from expand3d.networks import get_family, get_preset
    from expand3d.run.driver import run_study as run
else:  # packages that can be called, so that it does not matter who imports which first
    from expand3d import cost, run
from expand3d.core.version import __version__

_LAZY = {
    "Genotype": "expand3d.core.genotype:Genotype",
    "build": "expand3d.api:build",
    "get_family": "expand3d.networks:get_family",
    "get_preset": "expand3d.networks:get_preset",
    "load_study": "expand3d.api:load_study",
    "presets": "expand3d.api:presets",
    "resolve": "expand3d.api:resolve",
}

__all__ = [
    "Genotype",
    "__version__",
    "build",
    "cost",
    "get_family",
    "get_preset",
    "load_study",
    "presets",
    "resolve",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
