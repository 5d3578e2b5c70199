"""The network families, by name; a family's module is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expand3d.core.errors import FactorError, nearest
from expand3d.core.genotype import Plan
from expand3d.core.plugins import FAMILIES
from expand3d.networks.family import Family, Preset


def get_family(name: str) -> Family:
    """The family called `name`; FactorError names the nearest where there is none.

    A family of the user's own is named as `package.module:NAME`, an object or its class, or by an
    entry point; that is also its `name`.
    """
    family: Family = FAMILIES.load(name)
    if not isinstance(family, Family) or family.name != name:
        called = getattr(family, "name", None)
        why = f"; it is called {called!r}" if isinstance(called, str) and called != name else ""
        raise FactorError(
            f"family {name!r} is no Family whose name is {name!r}{why}; see docs/extending.md"
        )
    return family


def all_presets() -> dict[str, Preset]:
    """Every family's presets by name."""
    return {
        preset.name: preset for name in FAMILIES for preset in get_family(name).presets.values()
    }


def get_preset(name: str) -> Preset:
    """The preset called `name`; FactorError names the nearest where there is none."""
    presets = all_presets()
    if name not in presets:  # only then: looking at what is installed takes a while
        presets |= _installed_presets()
    if name not in presets:
        raise FactorError(f"unknown preset {name!r}{nearest(name, presets)}")
    return presets[name]


def _installed_presets() -> dict[str, Preset]:
    """The presets of the families that installed packages offer."""
    installed = [name for name in FAMILIES.everyone() if name not in FAMILIES]
    return {p.name: p for name in installed for p in get_family(name).presets.values()}


def activations(plan: Plan) -> int:
    """Elements that the convolutions of `plan`'s network write for one view."""
    return get_family(plan.family).cost(plan).activations


def plan_from_json(data: Mapping[str, Any]) -> Plan:
    """The plan that `Plan.to_json` wrote."""
    return get_family(data["family"]).plan_from_json(data)
