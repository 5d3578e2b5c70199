"""The network families, by name; a family's module is imported when it is first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from expand3d.core.errors import FactorError, nearest
from expand3d.core.genotype import Plan
from expand3d.networks.family import Family, Preset

FAMILIES = {
    "x3d": "expand3d.networks.families.x3d:FAMILY",
    "r3d": "expand3d.networks.families.r3d:FAMILY",
    "r2plus1d": "expand3d.networks.families.r2plus1d:FAMILY",
    "csn": "expand3d.networks.families.csn:FAMILY",
    "slowonly": "expand3d.networks.families.slowonly:FAMILY",
    "c3d": "expand3d.networks.families.c3d:FAMILY",
    "t3d": "expand3d.networks.families.t3d:FAMILY",
    "slowfast": "expand3d.networks.families.slowfast:FAMILY",
    "i3d": "expand3d.networks.families.i3d:FAMILY",
    "s3d": "expand3d.networks.families.s3d:FAMILY",
}


def get_family(name: str) -> Family:
    """The family called `name`; FactorError names the nearest where there is none."""
    if name not in FAMILIES:
        raise FactorError(f"unknown family {name!r}{nearest(name, FAMILIES)}")
    module, attribute = FAMILIES[name].split(":")
    family: Family = getattr(importlib.import_module(module), attribute)
    return family


def all_presets() -> dict[str, Preset]:
    """Every family's presets by name."""
    return {
        preset.name: preset for name in FAMILIES for preset in get_family(name).presets.values()
    }


def get_preset(name: str) -> Preset:
    """The preset called `name`; FactorError names the nearest where there is none."""
    presets = all_presets()
    if name not in presets:
        raise FactorError(f"unknown preset {name!r}{nearest(name, presets)}")
    return presets[name]


def activations(plan: Plan) -> int:
    """Elements that the convolutions of `plan`'s network write for one view."""
    return get_family(plan.family).cost(plan).activations


def plan_from_json(data: Mapping[str, Any]) -> Plan:
    """The plan that `Plan.to_json` wrote."""
    return get_family(data["family"]).plan_from_json(data)
