"""X3D as MMAction2's config spells it.

Rules as in open-mmlab/mmaction2 4d6c9347: gamma_w rounds the stem's width alone, each stage doubles
it, lin5 is fixed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from expand3d.core.genotype import Genotype
from expand3d.interop.pytorchvideo.multipliers import (
    bottleneck_factor,
    depth_factor,
    refuse_what_follows,
)
from expand3d.interop.spelling import Integers, Rule, refused, spell
from expand3d.networks.factors import round_width
from expand3d.networks.families.x3d import HEAD_WIDTH, SE_RATIO, STAGE_DEPTHS, STEM_WIDTH
from expand3d.networks.families.x3d_plan import X3DPlan

BUILDER = "MMAction2's X3D"


def model(plan: X3DPlan, genotype: Genotype | None = None) -> dict[str, Any]:
    """Backbone and head that build exactly `plan`.

    ExportError names a field that it cannot express, what is wanted and the nearest.
    """
    factors = genotype.factors if genotype else {}
    if not plan.res2_shortcut_bn:
        raise refused(BUILDER, "res2_shortcut_bn", False, True)
    if plan.lin5 != HEAD_WIDTH:
        raise refused(BUILDER, "lin5", plan.lin5, HEAD_WIDTH)
    width = Rule(BUILDER, "widths", "gamma_w", _widths)
    made = {
        "backbone": {
            "type": "X3D",
            "gamma_w": spell(width, plan.widths, factors.get("gamma_w", 1.0)),
            "gamma_b": bottleneck_factor(plan, factors.get("gamma_b", 1.0), BUILDER, "gamma_b"),
            "gamma_d": depth_factor(plan, factors.get("gamma_d", 1.0), BUILDER, "gamma_d"),
            "se_style": "half",
            "se_ratio": SE_RATIO,
            "zero_init_residual": True,
        },
        "cls_head": {
            "type": "X3DHead",
            "in_channels": plan.conv5,
            "num_classes": plan.num_classes,
            "spatial_type": "avg",
            "fc1_bias": False,
        },
    }
    refuse_what_follows(plan, BUILDER)
    got = integers(made)
    for field, value in got.items():
        wanted = plan.num_classes if field == "classes" else getattr(plan, field)
        if value != wanted:
            raise refused(BUILDER, field, wanted, value)
    return made


def integers(model: Mapping[str, Any]) -> dict[str, Any]:
    """The network that MMAction2 makes of a backbone and a head."""
    backbone, head = model["backbone"], model["cls_head"]
    widths = _widths(backbone["gamma_w"])
    inners = tuple(int(backbone["gamma_b"] * width) for width in widths)
    ratio = backbone.get("se_ratio", SE_RATIO)
    return {
        "stem": widths[0],
        "widths": widths,
        "inners": inners,
        "depths": tuple(math.ceil(backbone["gamma_d"] * number) for number in STAGE_DEPTHS),
        "se_widths": tuple(round_width(inner, ratio) if ratio else None for inner in inners),
        "conv5": inners[-1],
        "lin5": HEAD_WIDTH,
        "classes": head["num_classes"],
    }


def _widths(gamma_w: float) -> Integers:
    base = round_width(STEM_WIDTH, gamma_w)
    return base, 2 * base, 4 * base, 8 * base
