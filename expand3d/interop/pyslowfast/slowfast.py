"""SlowFast in PySlowFast's config keys.

Rules as in facebookresearch/SlowFast 287ec007, video_model_builder. It knows three
depths, one width and one ratio from which all channels follow, and pools fixed windows. `SlowFast`
is its own class, `PTVSlowFast` calls pytorchvideo's builder with the same keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expand3d.core.genotype import Genotype
from expand3d.interop.slowfast_integers import slowfast_integers
from expand3d.interop.spelling import refused
from expand3d.networks.families.slowfast import SlowFastPlan

BUILDER = "PySlowFast's SlowFast"
#: RESNET.DEPTH and the blocks of res2 to res5.
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 18: (2, 2, 2, 2)}
#: Those of them that `PTVSlowFast` knows.
PTV_DEPTHS = (50, 101)
#: The temporal kernel of a block that has one: of res2 to res5, Slow and Fast.
KERNELS = ((1, 3), (1, 3), (3, 3), (3, 3))
#: The stages' widths and inner widths over the stem's.
WIDE, NARROW = (4, 8, 16, 32), (1, 2, 4, 8)
STRIDE = 32


def config(plan: SlowFastPlan, genotype: Genotype | None = None) -> dict[str, Any]:
    """The keys with which PySlowFast builds exactly `plan`, by their dotted names.

    ExportError names a field that it cannot express, what is wanted and the nearest.
    """
    if plan.crop % STRIDE:  # its window is floor(crop / 32), the features are ceil(crop / 32)
        nearest = max(STRIDE, round(plan.crop / STRIDE) * STRIDE)
        raise refused(BUILDER, "crop", plan.crop, nearest, "DATA.TRAIN_CROP_SIZE")
    if plan.frames % plan.alpha:
        nearest = max(plan.alpha, plan.frames // plan.alpha * plan.alpha)
        raise refused(BUILDER, "frames", plan.frames, nearest, "DATA.NUM_FRAMES and ALPHA")
    if plan.lateral_ratio == 0:
        raise refused(BUILDER, "lateral_ratio", 0, 1, "SLOWFAST.FUSION_CONV_CHANNEL_RATIO")
    depth = min(DEPTHS, key=lambda known: _apart(DEPTHS[known], plan.depths))
    stem, thin = plan.stems
    beta = min(
        range(1, stem + 1),
        key=lambda inverse: _apart(
            (*(stem * n // inverse for n in (1, *NARROW, *WIDE)),),
            (thin, *plan.inners[1], *plan.widths[1]),
        ),
    )
    temporal = [
        [slow if KERNELS[stage][0] > 1 or slow else blocks, fast]
        for stage, (slow, fast, blocks) in enumerate(zip(*plan.temporal, plan.depths, strict=True))
    ]
    made = {
        "MODEL.ARCH": "slowfast",
        "MODEL.NUM_CLASSES": plan.num_classes,
        "DATA.INPUT_CHANNEL_NUM": [3, 3],
        "DATA.NUM_FRAMES": plan.frames,
        "DATA.TRAIN_CROP_SIZE": plan.crop,
        "RESNET.DEPTH": depth,
        "RESNET.WIDTH_PER_GROUP": stem,
        "RESNET.NUM_GROUPS": 1,
        "RESNET.TRANS_FUNC": "bottleneck_transform",
        "RESNET.STRIDE_1X1": False,
        "RESNET.ZERO_INIT_FINAL_BN": True,
        "RESNET.NUM_BLOCK_TEMP_KERNEL": temporal,
        "RESNET.SPATIAL_STRIDES": [[1, 1], [2, 2], [2, 2], [2, 2]],
        "RESNET.SPATIAL_DILATIONS": [[1, 1]] * 4,
        "NONLOCAL.LOCATION": [[[], []]] * 4,
        "NONLOCAL.GROUP": [[1, 1]] * 4,
        "NONLOCAL.INSTANTIATION": "dot_product",
        "SLOWFAST.ALPHA": plan.alpha,
        "SLOWFAST.BETA_INV": beta,
        "SLOWFAST.FUSION_CONV_CHANNEL_RATIO": plan.lateral_ratio,
        "SLOWFAST.FUSION_KERNEL_SZ": plan.lateral_kernel,
    }
    got = integers(made)
    for field, wanted in _integers_of(plan).items():
        if got[field] != wanted:
            raise refused(BUILDER, field, wanted, got[field])
    made["MODEL.MODEL_NAME"] = _class(plan, depth, beta)
    return made


def _class(plan: SlowFastPlan, depth: int, beta: int) -> str:
    """The first class whose Slow stages expect the channels that the laterals bring.

    `SlowFast` divides by BETA_INV // RATIO, `PTVSlowFast` multiplies by RATIO / BETA_INV, and has
    no BatchNorm on a first block's shortcut whose channels stay.
    """
    ratio = plan.lateral_ratio
    joined = (plan.stems[0], *plan.widths[0][:-1])
    if all(n // (beta // ratio or n + 1) == n // beta * ratio for n in joined):
        return "SlowFast"
    beside = [n * ratio // beta for n in joined]
    whole = all(got == n // beta * ratio for got, n in zip(beside, joined, strict=True))
    stages = zip(joined[1:], beside[1:], plan.widths[0][1:], strict=True)
    if whole and depth in PTV_DEPTHS and all(n + more != wide for n, more, wide in stages):
        return "PTVSlowFast"
    raise refused(BUILDER, "lateral_ratio", ratio, 1)


def integers(config: Mapping[str, Any]) -> dict[str, Any]:
    """The network that PySlowFast makes of a config; pairs are Slow, Fast."""
    stem = config.get("RESNET.WIDTH_PER_GROUP", 64)
    beta, alpha = config["SLOWFAST.BETA_INV"], config["SLOWFAST.ALPHA"]
    depths = DEPTHS[config.get("RESNET.DEPTH", 50)]
    frames, side = config["DATA.NUM_FRAMES"], config["DATA.TRAIN_CROP_SIZE"] // STRIDE
    counts = config["RESNET.NUM_BLOCK_TEMP_KERNEL"]

    def widths(multiples: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        wide = tuple(stem * n for n in multiples)
        return wide, tuple(width // beta for width in wide)

    wide = widths(WIDE)
    joining = (stem // beta, *wide[1][:-1])
    return {
        "stem": (stem, stem // beta),
        "depths": (depths, depths),
        "widths": wide,
        "inners": widths(NARROW),
        "temporal_kernels": tuple(
            tuple(
                (KERNELS[stage][pathway],) * counts[stage][pathway]
                + (1,) * (blocks - counts[stage][pathway])
                for stage, blocks in enumerate(depths)
            )
            for pathway in (0, 1)
        ),
        "lateral": tuple(n * config["SLOWFAST.FUSION_CONV_CHANNEL_RATIO"] for n in joining),
        "lateral_kernel": config["SLOWFAST.FUSION_KERNEL_SZ"],
        "lateral_stride": alpha,
        "head_in": wide[0][-1] + wide[1][-1],
        "classes": config["MODEL.NUM_CLASSES"],
        "pool_windows": ((frames // alpha, side, side), (frames, side, side)),
    }


def _integers_of(plan: SlowFastPlan) -> dict[str, Any]:
    """The same of our network, whose head pools over all there is."""
    side = plan.crop
    for _ in range(5):
        side = -(-side // 2)
    slow, fast = -(-plan.frames // plan.alpha), plan.frames
    windows = ((slow, side, side), (fast, side, side))
    return {**slowfast_integers(plan), "pool_windows": windows}


def _apart(got: tuple[int, ...], wanted: tuple[int, ...]) -> int:
    return sum(abs(a - b) for a, b in zip(got, wanted, strict=True))
