"""An expansion as the JSON value that a record keeps, so that a report can replay its steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from expand3d.families.base import Limits
from expand3d.genotype import Genotype
from expand3d.search.expand import Expansion


def strategy_to_json(strategy: Expansion) -> dict[str, Any]:
    """Everything of the strategy but its solver, which is always the same in a study."""
    data = {
        item.name: getattr(strategy, item.name)
        for item in dataclasses.fields(strategy)
        if item.name != "solver"
    }
    limits = {**dataclasses.asdict(strategy.limits), "first_clip": list(strategy.limits.first_clip)}
    start = strategy.start.to_json() if strategy.start else None
    axes = list(strategy.axes) if strategy.axes else None
    return {**data, "limits": limits, "start": start, "axes": axes}


def strategy_from_json(data: Mapping[str, Any]) -> Expansion:
    """The strategy that `strategy_to_json` wrote."""
    limits = {**data["limits"], "first_clip": tuple(data["limits"]["first_clip"])}
    return Expansion(
        **{
            **data,
            "limits": Limits(**limits),
            "start": Genotype.from_json(data["start"]) if data["start"] else None,
            "axes": tuple(data["axes"]) if data["axes"] else None,
        }
    )
