"""SlowOnly, C2D, I3D-R50, CSN and R(2+1)D as pytorchvideo's builders of ResNets spell them.

Rules as in the builders of pytorchvideo 0.1.5: bottleneck blocks of
three depths, whose widths follow from the stem's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expand3d.core.genotype import Genotype
from expand3d.interop.pytorchvideo.spelled import (
    DEPTHS,
    MEAN,
    Code,
    Spelled,
    compare,
    nearest_depth,
)
from expand3d.interop.spelling import refused
from expand3d.networks.families.csn import CSNPlan
from expand3d.networks.families.r2plus1d import R2Plus1DPlan
from expand3d.networks.families.slowonly import SlowOnlyPlan

RESNET, CSN, R2PLUS1D = (f"pytorchvideo's create_{name}" for name in ("resnet", "csn", "r2plus1d"))
WIDE = (4, 8, 16, 32)
#: A block's width over its inner width.
EXPANSION = 4
MAX_POOL = Code("torch.nn.MaxPool3d")


def slowonly(
    plan: SlowOnlyPlan, genotype: Genotype | None = None, *, builder: str = RESNET
) -> Spelled:
    """The arguments of `create_resnet` that build exactly `plan`.

    ExportError names a field that it cannot express, what is wanted and the nearest.
    """
    conv, pool = plan.stem_strides
    depths = tuple(map(len, plan.kernels))
    kernels = tuple(tuple((frames, 1, 1) for frames in stage) for stage in plan.kernels)
    arguments = {
        "model_depth": nearest_depth(DEPTHS, depths),
        "model_num_class": plan.num_classes,
        "stem_dim_out": plan.stem,
        "stem_conv_kernel_size": (plan.stem_kernel, 7, 7),
        "stem_conv_stride": (conv, 2, 2),
        "stem_pool_stride": (pool, 2, 2),
        **({"stage1_pool": MAX_POOL} if plan.res2_pool else {}),
        "stage_conv_a_kernel_size": tuple(
            stage[0] if len(set(stage)) == 1 else stage for stage in kernels
        ),
        "head_pool": MEAN,
    }
    got = _integers(arguments)
    compare(builder, got, _wanted(plan, depths))
    return Spelled("resnet", "create_resnet", arguments, got)


def csn(plan: CSNPlan, genotype: Genotype | None = None, *, builder: str = CSN) -> Spelled:
    """The arguments of `create_csn` that build exactly `plan`, as `slowonly`."""
    if plan.preserved:
        raise refused(builder, "preserved", True, False)
    ratio = max(1, round(plan.widths[0] / plan.inners[0]))
    arguments = {
        "model_depth": nearest_depth(DEPTHS, plan.depths),
        "model_num_class": plan.num_classes,
        "stem_dim_out": plan.stem,
        "stem_pool": MAX_POOL,
        **({} if ratio == EXPANSION else {"bottleneck_ratio": ratio}),
        "head_pool": MEAN,
    }
    got = _integers(arguments)
    compare(builder, got, _wanted(plan, plan.depths))
    return Spelled("csn", "create_csn", arguments, got)


def r2plus1d(
    plan: R2Plus1DPlan, genotype: Genotype | None = None, *, builder: str = R2PLUS1D
) -> Spelled:
    """The arguments of `create_r2plus1d` that build exactly `plan`, as `slowonly`."""
    fixed = {"bottleneck": True, "time_first": True, "stem_mid": 0, "stem_pool": False}
    compare(builder, fixed, {field: getattr(plan, field) for field in fixed})
    arguments = {
        "model_depth": nearest_depth(DEPTHS, plan.depths),
        "model_num_class": plan.num_classes,
        "stem_dim_out": plan.stem,
        "stage_spatial_stride": tuple(space for _, space in plan.strides),
        "stage_temporal_stride": tuple(time for time, _ in plan.strides),
        "head_pool": MEAN,
    }
    got = _integers(arguments)
    got["mids"] = tuple(((inner,), (inner,)) for inner in got["inners"])
    compare(builder, got, {**_wanted(plan, plan.depths), "mids": plan.mids})
    return Spelled("r2plus1d", "create_r2plus1d", arguments, got)


def _integers(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The widths and depths that follow from a builder's arguments."""
    stem, ratio = arguments["stem_dim_out"], arguments.get("bottleneck_ratio", EXPANSION)
    widths = tuple(stem * n for n in WIDE)
    return {
        "stem": stem,
        "depths": DEPTHS[arguments["model_depth"]],
        "widths": widths,
        "inners": tuple(width // ratio for width in widths),
        "classes": arguments["model_num_class"],
    }


def _wanted(plan: SlowOnlyPlan | CSNPlan | R2Plus1DPlan, depths: tuple[int, ...]) -> dict[str, Any]:
    """The same of our network."""
    return {
        "depths": depths,
        "stem": plan.stem,
        "widths": plan.widths,
        "inners": plan.inners,
        "classes": plan.num_classes,
    }
