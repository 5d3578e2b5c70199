"""Our weights as MMAction2 has them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from expand3d.networks.families.csn import CSNPlan
from expand3d.networks.families.slowfast import SlowFastPlan
from expand3d.networks.weights import mmaction2_names as tables
from expand3d.networks.weights.convert import convert
from expand3d.networks.weights.names import renamed

if TYPE_CHECKING:
    from torch import Tensor

    from expand3d.core.genotype import Plan


def to_mmaction2(state: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """Our weights under their names; SlowFast's classifier reads the Fast pathway first there."""
    if isinstance(plan, SlowFastPlan):
        return tables.slowfast_to(state, plan.widths[1][-1])
    if isinstance(plan, CSNPlan):
        return renamed(state, tables.PRESERVED if plan.preserved else tables.REDUCED)
    if plan.family == "c3d":
        return renamed(state, tables.C3D)
    if plan.family == "slowonly":
        return renamed(state, tables.RESNET)
    if plan.family == "tsn":
        return tables.pictures_to(state)
    return tables.x3d_to(state)


def from_mmaction2(state: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """The inverse of `to_mmaction2`."""
    return convert(plan, state)
