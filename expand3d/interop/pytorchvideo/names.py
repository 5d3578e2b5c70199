"""Our weights as pytorchvideo has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from expand3d.networks.families.csn import CSNPlan
from expand3d.networks.families.r2plus1d import R2Plus1DPlan
from expand3d.networks.families.slowfast import SlowFastPlan
from expand3d.networks.families.slowonly import SlowOnlyPlan
from expand3d.networks.families.x3d_plan import X3DPlan
from expand3d.networks.weights import pytorchvideo_names as tables
from expand3d.networks.weights.names import Names, renamed

if TYPE_CHECKING:
    from torch import Tensor

    from expand3d.core.genotype import Plan


def to_pytorchvideo(state: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """Our weights under their names, of the builder that spells this plan."""
    if isinstance(plan, X3DPlan):
        from expand3d.networks.weights import x3d_names

        return x3d_names.to_pytorchvideo(state, plan)
    return renamed(state, _table(plan))


def _table(plan: Plan) -> Names:
    if isinstance(plan, SlowFastPlan):
        return tables.SLOWFAST
    if isinstance(plan, SlowOnlyPlan):
        return tables.resnet(blocks=tables.POOLED if plan.res2_pool else tables.IN_A_ROW)
    if isinstance(plan, R2Plus1DPlan):
        return tables.resnet(tables.TIME_FIRST)
    assert isinstance(plan, CSNPlan)
    return tables.resnet()
