"""The multipliers that make pytorchvideo's `create_x3d` round to a plan's integers, if any do.

Multipliers are only a framework's spelling of a network; here the integers are given and the
spelling is looked for. Every rounding rule is monotone, so the smallest multiplier whose integers
reach the wanted ones either gives them exactly or shows that none does. Rules as in
pytorchvideo 0.1.5 `models/x3d.py`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from expand3d.core.errors import ExportError
from expand3d.core.genotype import Genotype, Plan
from expand3d.networks.factors import round_width
from expand3d.networks.families.x3d import SE_RATIO, STAGE_DEPTHS, X3DPlan

Integers = tuple[int, ...]

#: create_x3d's width_factor multiplies these: half of the paper's widths.
STAGE_WIDTHS_12 = (12, 24, 48, 96)
#: Digits after the point that are tried, shortest spelling first.
DIGITS = (1, 2, 3, 4, 6)
LARGEST = 64
#: The total spatial stride: create_x3d asserts that a crop is no smaller.
SMALLEST_CROP = 32


@dataclass(frozen=True)
class Rule:
    """A rounding rule: create_x3d turns one argument into the integers of one field of the plan."""

    field: str
    argument: str
    integers: Callable[[float], Integers]


def create_x3d_arguments(plan: X3DPlan, genotype: Genotype | None = None) -> dict[str, Any]:
    """The keyword arguments with which pytorchvideo's `create_x3d` builds exactly `plan`.

    The genotype's own factors are used where they reproduce the integers, since they read better
    than a found spelling. Raises ExportError naming the field, what is wanted and the nearest.
    """
    factors = genotype.factors if genotype else {}
    if plan.crop < SMALLEST_CROP:
        raise _refusal("crop", plan.crop, SMALLEST_CROP, "input_crop_size")
    width = spell(
        Rule("widths", "width_factor", _widths), plan.widths, 2 * factors.get("gamma_w", 1.0)
    )
    depth = spell(Rule("depths", "depth_factor", _depths), plan.depths, factors.get("gamma_d", 1.0))
    inner = Rule("inners", "bottleneck_factor", lambda b: tuple(int(b * w) for w in plan.widths))
    bottleneck = spell(inner, plan.inners, factors.get("gamma_b", 1.0))
    follows = {
        "stem": plan.widths[0],
        "se_widths": tuple(round_width(inner, SE_RATIO) for inner in plan.inners),
        "conv5": plan.inners[-1],
    }
    for field, value in follows.items():
        if getattr(plan, field) != value:
            raise _refusal(field, getattr(plan, field), value, "any argument")
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


def refusal(plan: Plan) -> str | None:
    """The reason why `create_x3d` cannot build `plan`; None where it can."""
    if not isinstance(plan, X3DPlan):
        return f"pytorchvideo's create_x3d builds x3d networks, not {plan.family}"
    try:
        create_x3d_arguments(plan)
    except ExportError as error:
        return str(error)
    return None


def spell(rule: Rule, wanted: Integers, preferred: float) -> float:
    """`preferred` where it rounds to `wanted`, else the shortest multiplier that does."""
    if rule.integers(preferred) == wanted:
        return preferred
    for digits in DIGITS:
        below, multiplier = _around(rule, wanted, 10**digits)
        if rule.integers(multiplier) == wanted:
            return multiplier
    closest = min((below, multiplier), key=lambda m: _distance(rule.integers(m), wanted))
    argument = f"{rule.argument} (the nearest is {closest:g})"
    raise _refusal(rule.field, wanted, rule.integers(closest), argument)


def _around(rule: Rule, wanted: Integers, per_unit: int) -> tuple[float, float]:
    """The largest multiplier that falls short of `wanted` somewhere, and the next one."""

    def reaches(step: int) -> bool:
        got = rule.integers(step / per_unit)
        return all(a >= b for a, b in zip(got, wanted, strict=True))

    # From 1: create_x3d takes a multiplier of 0 for none at all.
    step = 1 + bisect_left(range(1, LARGEST * per_unit), True, key=reaches)
    return max(step - 1, 1) / per_unit, step / per_unit


def _distance(got: Integers, wanted: Integers) -> int:
    return sum(abs(a - b) for a, b in zip(got, wanted, strict=True))


def _widths(width_factor: float) -> Integers:
    return tuple(round_width(width, width_factor) for width in STAGE_WIDTHS_12)


def _depths(depth_factor: float) -> Integers:
    return tuple(math.ceil(depth_factor * depth) for depth in STAGE_DEPTHS)


def _refusal(field: str, wanted: object, nearest: object, argument: str) -> ExportError:
    return ExportError(
        f"pytorchvideo's create_x3d cannot express {field} = {wanted} by {argument}; "
        f"the nearest it builds is {nearest}"
    )
