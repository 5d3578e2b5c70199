"""Our weights as MMAction2 has them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from expand3d.networks.families.slowfast import SlowFastPlan
from expand3d.networks.weights.convert import convert
from expand3d.networks.weights.mmaction2_names import slowfast_to, x3d_to

if TYPE_CHECKING:
    from torch import Tensor

    from expand3d.core.genotype import Plan


def to_mmaction2(state: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """Our weights under their names; SlowFast's classifier reads the Fast pathway first there."""
    if isinstance(plan, SlowFastPlan):
        return slowfast_to(state, plan.widths[1][-1])
    return x3d_to(state)


def from_mmaction2(state: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """The inverse of `to_mmaction2`."""
    return convert(plan, state)
