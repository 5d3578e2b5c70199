"""The integers of our SlowFast that codebases which build it by config are compared in."""

from __future__ import annotations

from typing import Any

from expand3d.networks.families.slowfast import SlowFastPlan


def slowfast_integers(plan: SlowFastPlan) -> dict[str, Any]:
    """Widths, depths, kernels and laterals by name; pairs are Slow, Fast."""
    fast = (plan.stems[1], *plan.widths[1][:-1])
    return {
        "stem": plan.stems,
        "depths": (plan.depths, plan.depths),
        "widths": plan.widths,
        "inners": plan.inners,
        "temporal_kernels": tuple(
            tuple(
                (3,) * number + (1,) * (blocks - number)
                for number, blocks in zip(numbers, plan.depths, strict=True)
            )
            for numbers in plan.temporal
        ),
        "lateral": tuple(width * plan.lateral_ratio for width in fast),
        "lateral_kernel": plan.lateral_kernel,
        "lateral_stride": plan.alpha,
        "head_in": plan.widths[0][-1] + plan.widths[1][-1],
        "classes": plan.num_classes,
    }
