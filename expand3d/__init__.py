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
    from expand3d.data.arrays import DataSet
    from expand3d.networks import get_family, get_preset
    from expand3d.networks.weights.remap import remap
    from expand3d.run.driver import plan_study as plan
    from expand3d.run.driver import resume_study as resume
    from expand3d.run.driver import run_study as run
    from expand3d.study.config import StudyConfig
    from expand3d.training.precise_norm import reestimate
else:  # packages that can be called, so that it does not matter who imports which first
    from expand3d import cost, run
from expand3d.core.version import __version__

_LAZY = {
    "DataSet": "expand3d.data.arrays:DataSet",
    "Genotype": "expand3d.core.genotype:Genotype",
    "StudyConfig": "expand3d.study.config:StudyConfig",
    "build": "expand3d.api:build",
    "get_family": "expand3d.networks:get_family",
    "get_preset": "expand3d.networks:get_preset",
    "load_study": "expand3d.api:load_study",
    "plan": "expand3d.run.driver:plan_study",
    "presets": "expand3d.api:presets",
    "reestimate": "expand3d.training.precise_norm:reestimate",
    "remap": "expand3d.networks.weights.remap:remap",
    "resolve": "expand3d.api:resolve",
    "resume": "expand3d.run.driver:resume_study",
}

__all__ = [
    "DataSet",
    "Genotype",
    "StudyConfig",
    "__version__",
    "build",
    "cost",
    "get_family",
    "get_preset",
    "load_study",
    "plan",
    "presets",
    "reestimate",
    "remap",
    "resolve",
    "resume",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
