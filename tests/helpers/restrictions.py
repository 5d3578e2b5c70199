"""Restrictions of plans that no real target has, named as `tests.helpers.restrictions:NAME`."""

from __future__ import annotations

from expand3d.core.genotype import Plan
from expand3d.networks.families.x3d_plan import X3DPlan

COARSE = f"{__name__}:coarse"
NOTHING = f"{__name__}:nothing"
ONLY_THE_BASE = f"{__name__}:only_the_base"


def coarse(plan: Plan) -> str | None:
    """Even inner widths, frames by powers of two, crops on a grid of 16."""
    assert isinstance(plan, X3DPlan)
    if any(inner % 2 for inner in plan.inners):
        return "an inner width is odd"
    if plan.frames & (plan.frames - 1):
        return f"{plan.frames} frames are no power of two"
    if plan.crop % 16:
        return f"a crop of {plan.crop} is no multiple of 16"
    return None


def nothing(plan: Plan) -> str | None:
    """No network at all."""
    return "no network is good enough"


def only_the_base(plan: Plan) -> str | None:
    """X2D alone."""
    assert isinstance(plan, X3DPlan)
    same = (plan.frames, plan.crop, plan.depths, plan.inners) == (
        *(1, 112),
        (1, 2, 5, 3),
        (24, 48, 96, 192),
    )
    return None if same and plan.widths == plan.inners else "it is larger than X2D"
