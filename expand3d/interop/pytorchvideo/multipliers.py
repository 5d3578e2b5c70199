"""The multipliers that make pytorchvideo's `create_x3d` round to a plan's integers, if any do.

Rules as in pytorchvideo 0.1.5 `models/x3d.py`.
"""

from __future__ import annotations

import math
from typing import Any

from expand3d.core.genotype import Genotype
from expand3d.interop.pytorchvideo.spelled import Spelled
from expand3d.interop.spelling import Integers, Rule, refused, spell
from expand3d.networks.factors import round_width
from expand3d.networks.families.x3d import SE_RATIO, STAGE_DEPTHS, X3DPlan

BUILDER = "pytorchvideo's create_x3d"
#: create_x3d's width_factor multiplies these: half of the paper's widths.
STAGE_WIDTHS_12 = (12, 24, 48, 96)
#: The total spatial stride: create_x3d asserts that a crop is no smaller.
SMALLEST_CROP = 32


def spelled(plan: X3DPlan, genotype: Genotype | None = None) -> Spelled:
    """`create_x3d` with the arguments that build exactly `plan`; ExportError where none do."""
    arguments = create_x3d_arguments(plan, genotype)
    widths = _widths(arguments["width_factor"])
    inners = tuple(int(arguments["bottleneck_factor"] * width) for width in widths)
    built = {
        "stem": widths[0],
        "widths": widths,
        "inners": inners,
        "depths": _depths(arguments["depth_factor"]),
        "se_widths": tuple(round_width(inner, SE_RATIO) for inner in inners),
        "conv5": inners[-1],
        "lin5": arguments["head_dim_out"],
        "classes": arguments["model_num_class"],
    }
    return Spelled("x3d", "create_x3d", arguments, built)


def create_x3d_arguments(
    plan: X3DPlan, genotype: Genotype | None = None, *, builder: str = BUILDER
) -> dict[str, Any]:
    """The keyword arguments with which pytorchvideo's `create_x3d` builds exactly `plan`.

    The genotype's own factors are used where they reproduce the integers, since they read better
    than a found spelling. Raises ExportError naming the field, what is wanted and the nearest;
    `builder` is what it calls the code that would build it.
    """
    factors = genotype.factors if genotype else {}
    if plan.crop < SMALLEST_CROP:
        raise refused(builder, "crop", plan.crop, SMALLEST_CROP, "input_crop_size")
    wide = Rule(builder, "widths", "width_factor", _widths)
    width = spell(wide, plan.widths, 2 * factors.get("gamma_w", 1.0))
    depth = depth_factor(plan, factors.get("gamma_d", 1.0), builder, "depth_factor")
    bottleneck = bottleneck_factor(plan, factors.get("gamma_b", 1.0), builder, "bottleneck_factor")
    refuse_what_follows(plan, builder)
    return {
        "input_clip_length": plan.frames,
        "input_crop_size": plan.crop,
        "model_num_class": plan.num_classes,
        "width_factor": width,
        "depth_factor": depth,
        "bottleneck_factor": bottleneck,
        "se_ratio": SE_RATIO,
        "head_dim_out": plan.lin5,
    }


def depth_factor(plan: X3DPlan, preferred: float, builder: str, argument: str) -> float:
    """The multiplier of the stages' depths, rounded up as in all X3D code."""
    return spell(Rule(builder, "depths", argument, _depths), plan.depths, preferred)


def bottleneck_factor(plan: X3DPlan, preferred: float, builder: str, argument: str) -> float:
    """The multiplier of the stages' widths that gives their inner widths, cut off."""

    def inners(factor: float) -> Integers:
        return tuple(int(factor * width) for width in plan.widths)

    return spell(Rule(builder, "inners", argument, inners), plan.inners, preferred)


def refuse_what_follows(plan: X3DPlan, builder: str) -> None:
    """Raise ExportError where an integer that no argument sets is another than what it sets."""
    follows = {
        "stem": plan.widths[0],
        "se_widths": tuple(round_width(inner, SE_RATIO) for inner in plan.inners),
        "conv5": plan.inners[-1],
    }
    for field, value in follows.items():
        if getattr(plan, field) != value:
            raise refused(builder, field, getattr(plan, field), value)


def _widths(width_factor: float) -> Integers:
    return tuple(round_width(width, width_factor) for width in STAGE_WIDTHS_12)


def _depths(depth_factor: float) -> Integers:
    return tuple(math.ceil(depth_factor * depth) for depth in STAGE_DEPTHS)
