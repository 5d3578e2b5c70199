"""SlowFast as pytorchvideo's `create_slowfast` spells it.

Rules as in pytorchvideo 0.1.5: all widths follow from the stem's and from one
ratio. A first block has no BatchNorm on its shortcut where its channels stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expand3d.core.genotype import Genotype
from expand3d.interop.pytorchvideo.spelled import (
    MEAN,
    SLOWFAST_DEPTHS,
    Code,
    Spelled,
    compare,
    nearest_depth,
)
from expand3d.interop.slowfast_integers import slowfast_integers
from expand3d.interop.spelling import refused
from expand3d.networks.families.slowfast import BLOCK_KERNEL, SlowFastPlan

BUILDER = "pytorchvideo's create_slowfast"
WIDE, NARROW = (4, 8, 16, 32), (1, 2, 4, 8)
UNJOINED = Code("lambda fusion_dim_in, stage_idx: torch.nn.Identity()")


def spelled(plan: SlowFastPlan, genotype: Genotype | None = None) -> Spelled:
    """The arguments of `create_slowfast` that build exactly `plan`.

    ExportError names a field that it cannot express, what is wanted and the nearest.
    """
    (stem, thin), ratio = plan.stems, plan.lateral_ratio
    wanted = (thin, *plan.inners[1], *plan.widths[1])
    beta = min(range(1, stem + 1), key=lambda inverse: _apart(_thin(stem, inverse), wanted))
    arguments: dict[str, Any] = {
        "slowfast_channel_reduction_ratio": beta,
        "slowfast_conv_channel_fusion_ratio": ratio,
        "slowfast_fusion_conv_kernel_size": (plan.lateral_kernel, 1, 1),
        "slowfast_fusion_conv_stride": (plan.alpha, 1, 1),
        **({} if ratio else {"fusion_builder": UNJOINED}),
        "model_depth": nearest_depth(SLOWFAST_DEPTHS, plan.depths),
        "model_num_class": plan.num_classes,
        "stem_dim_outs": (stem, thin),
        "stage_conv_a_kernel_sizes": tuple(
            tuple(
                _stage(number, blocks) for number, blocks in zip(numbers, plan.depths, strict=True)
            )
            for numbers in plan.temporal
        ),
        "head_pool": MEAN,
    }
    got = integers(arguments)
    compare(BUILDER, got, slowfast_integers(plan))
    joined = zip((stem, *plan.widths[0][:-1]), got["lateral"], strict=True)
    for number, (width, lateral) in enumerate(joined):
        # What a stage expects beside its own channels, and where it leaves out a BatchNorm.
        bare = number > 0 and width + lateral == plan.widths[0][number]
        if width * ratio // beta != lateral or bare:
            raise refused(BUILDER, "lateral_ratio", ratio, max(1, ratio - 1))
    return Spelled("slowfast", "create_slowfast", arguments, got)


def integers(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The network that `create_slowfast` makes of its arguments; pairs are Slow, Fast."""
    stem, beta = arguments["stem_dim_outs"][0], arguments["slowfast_channel_reduction_ratio"]
    depths = SLOWFAST_DEPTHS[arguments["model_depth"]]
    ratio = arguments["slowfast_conv_channel_fusion_ratio"]
    wide, inner = (tuple(stem * n for n in multiples) for multiples in (WIDE, NARROW))
    return {
        "stem": (stem, stem // beta),  # what the stages expect of the stems
        "depths": (depths, depths),
        "widths": (wide, tuple(width // beta for width in wide)),
        "inners": (inner, tuple(width // beta for width in inner)),
        "temporal_kernels": tuple(
            tuple(_frames(kernels, blocks) for kernels, blocks in zip(stages, depths, strict=True))
            for stages in arguments["stage_conv_a_kernel_sizes"]
        ),
        "lateral": tuple(width // beta * ratio for width in (stem, *wide[:-1])),
        "lateral_kernel": arguments["slowfast_fusion_conv_kernel_size"][0],
        "lateral_stride": arguments["slowfast_fusion_conv_stride"][0],
        "head_in": wide[-1] + wide[-1] // beta,
        "classes": arguments["model_num_class"],
    }


def _stage(number: int, blocks: int) -> tuple[Any, ...]:
    """The first kernels of a stage's blocks, of which `number` span frames: one where all do."""
    if number in (0, blocks):
        return (BLOCK_KERNEL if number else 1, 1, 1)
    return ((BLOCK_KERNEL, 1, 1),) * number + ((1, 1, 1),) * (blocks - number)


def _frames(kernels: tuple[Any, ...], blocks: int) -> tuple[int, ...]:
    """The frames that the first kernel of each block spans; a list is repeated to the depth."""
    row = (kernels,) if isinstance(kernels[0], int) else kernels
    return tuple(kernel[0] for kernel in (row * blocks)[:blocks])


def _thin(stem: int, inverse: int) -> tuple[int, ...]:
    return tuple(stem * n // inverse for n in (1, *NARROW, *WIDE))


def _apart(got: tuple[int, ...], wanted: tuple[int, ...]) -> int:
    return sum(abs(a - b) for a, b in zip(got, wanted, strict=True))
