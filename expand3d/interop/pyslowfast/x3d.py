"""X3D in PySlowFast's config keys: its own class where that rounds to the plan, else PTVX3D.

Rules as in facebookresearch/SlowFast 287ec007, video_model_builder. `X3D` rounds each
stage to whole channels, from res3 on of doubled and rounded DIM_C1; `PTVX3D` calls pytorchvideo's
`create_x3d`, which has no BatchNorm on the first shortcut and spells every X3D of a search.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from expand3d.core.errors import ExportError
from expand3d.core.genotype import Genotype
from expand3d.interop.pytorchvideo.multipliers import (
    bottleneck_factor,
    create_x3d_arguments,
    depth_factor,
    refuse_what_follows,
)
from expand3d.interop.spelling import Integers, Rule, refused, spell
from expand3d.networks.factors import round_width
from expand3d.networks.families.x3d import SE_RATIO, STAGE_DEPTHS
from expand3d.networks.families.x3d_plan import X3DPlan

BUILDER = "PySlowFast's X3D"
PTV_BUILDER = "PySlowFast's PTVX3D"
#: The default, then all others that are tried.
DIM_C1 = (12, *(width for width in range(2, 97) if width != 12))
#: The total spatial stride.
STRIDE = 32

Config = dict[str, Any]


def config(plan: X3DPlan, genotype: Genotype | None = None) -> Config:
    """The keys with which PySlowFast builds exactly `plan`, by their dotted names.

    ExportError names a field that neither class expresses, what is wanted and the nearest.
    """
    common = {
        "MODEL.ARCH": "x3d",
        "MODEL.NUM_CLASSES": plan.num_classes,
        "X3D.DIM_C5": plan.lin5,
        "X3D.SCALE_RES2": False,
        "X3D.BN_LIN5": False,
        "X3D.CHANNELWISE_3x3x3": True,
        "RESNET.TRANS_FUNC": "x3d_transform",
        "RESNET.STRIDE_1X1": False,
        "RESNET.ZERO_INIT_FINAL_BN": True,
        "DATA.INPUT_CHANNEL_NUM": [3],
        "DATA.NUM_FRAMES": plan.frames,
        "DATA.TRAIN_CROP_SIZE": plan.crop,
    }
    spelled = _own_class(plan, genotype) if plan.res2_shortcut_bn else None
    made = common | (spelled or _pytorchvideos(plan, genotype))
    got = integers(made)
    for field, wanted in _integers_of(plan).items():
        if got[field] != wanted:
            raise refused(str(made["MODEL.MODEL_NAME"]), field, wanted, got[field])
    return made


def integers(config: Mapping[str, Any]) -> dict[str, Any]:
    """The widths, depths and head's window that PySlowFast makes of a config."""
    width, depth = config["X3D.WIDTH_FACTOR"], config["X3D.DEPTH_FACTOR"]
    first = config.get("X3D.DIM_C1", DIM_C1[0])
    theirs = config["MODEL.MODEL_NAME"] == "X3D"
    if theirs:
        bases = _bases(first, scaled=config.get("X3D.SCALE_RES2", False))
        stem, widths = _rounded(first, width), tuple(_rounded(base, width) for base in bases)
    else:
        stem = round_width(first, width)
        widths = tuple(round_width(first * 2**stage, width) for stage in range(4))
    inners = tuple(int(config["X3D.BOTTLENECK_FACTOR"] * out) for out in widths)
    side = math.ceil(config["DATA.TRAIN_CROP_SIZE"] / STRIDE)
    return {
        "stem": stem,
        "widths": widths,
        "inners": inners,
        "depths": tuple(math.ceil(depth * number) for number in STAGE_DEPTHS),
        "se_widths": tuple(round_width(inner, SE_RATIO) for inner in inners),
        "conv5": inners[-1],
        "lin5": config.get("X3D.DIM_C5", 2048),
        "classes": config["MODEL.NUM_CLASSES"],
        "pool_window": (config["DATA.NUM_FRAMES"], side, side),
    }


def _integers_of(plan: X3DPlan) -> dict[str, Any]:
    """The same of our network, whose head pools over all there is at the training crop."""
    side = plan.crop
    for _ in range(5):
        side = -(-side // 2)
    fields = ("stem", "widths", "inners", "depths", "se_widths", "conv5", "lin5")
    return {
        **{field: getattr(plan, field) for field in fields},
        "classes": plan.num_classes,
        "pool_window": (plan.frames, side, side),
    }


def _own_class(plan: X3DPlan, genotype: Genotype | None) -> Config | None:
    """The keys of PySlowFast's own class; None where it does not round to the plan."""
    factors = genotype.factors if genotype else {}
    try:
        refuse_what_follows(plan, BUILDER)
        return {
            "MODEL.MODEL_NAME": "X3D",
            **next(_widths(plan, 2 * factors.get("gamma_w", 1.0))),
            "X3D.DEPTH_FACTOR": depth_factor(
                plan, factors.get("gamma_d", 1.0), BUILDER, "X3D.DEPTH_FACTOR"
            ),
            "X3D.BOTTLENECK_FACTOR": bottleneck_factor(
                plan, factors.get("gamma_b", 1.0), BUILDER, "X3D.BOTTLENECK_FACTOR"
            ),
        }
    except (ExportError, StopIteration):
        return None


def _widths(plan: X3DPlan, preferred: float) -> Iterator[Config]:
    """Spellings of the widths, the default DIM_C1 first."""
    for first in DIM_C1:
        bases = _bases(first, scaled=False)

        def rounded(factor: float, bases: Integers = bases) -> Integers:
            return tuple(_rounded(base, factor) for base in bases)

        try:
            factor = spell(Rule(BUILDER, "widths", "WIDTH_FACTOR", rounded), plan.widths, preferred)
        except ExportError:
            continue
        yield {"X3D.DIM_C1": first, "X3D.WIDTH_FACTOR": factor}


def _pytorchvideos(plan: X3DPlan, genotype: Genotype | None) -> Config:
    found = create_x3d_arguments(plan, genotype, builder=PTV_BUILDER)
    return {
        "MODEL.MODEL_NAME": "PTVX3D",
        "X3D.DIM_C1": DIM_C1[0],
        "X3D.WIDTH_FACTOR": found["width_factor"],
        "X3D.DEPTH_FACTOR": found["depth_factor"],
        "X3D.BOTTLENECK_FACTOR": found["bottleneck_factor"],
    }


def _bases(first: int, *, scaled: bool) -> Integers:
    """The widths of res2 to res5 before the width factor."""
    res2 = round_width(first, 2) if scaled else first
    res3 = round_width(res2, 2)
    res4 = round_width(res3, 2)
    return res2, res3, res4, round_width(res4, 2)


def _rounded(width: int, factor: float) -> int:
    return round_width(width, factor, divisor=1)
