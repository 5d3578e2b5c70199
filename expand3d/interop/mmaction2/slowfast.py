"""SlowFast as MMAction2's config spells it.

Rules as in open-mmlab/mmaction2 4d6c9347. Its Slow pathway takes every alpha-th frame from the
first; ours, like PySlowFast's, spreads them from the first to the last, so that the two agree only
where there is one slow frame. `nearest` takes it all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from expand3d.core.genotype import Genotype
from expand3d.interop.slowfast_integers import slowfast_integers
from expand3d.interop.spelling import refused
from expand3d.networks.families.slowfast import SlowFastPlan

if TYPE_CHECKING:
    from torch import Tensor

BUILDER = "MMAction2's ResNet3dSlowFast"
#: Depths of bottleneck blocks there, and the blocks of res2 to res5.
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
WIDE, NARROW = (4, 8, 16, 32), (1, 2, 4, 8)


def model(
    plan: SlowFastPlan, genotype: Genotype | None = None, *, nearest: bool = False
) -> dict[str, Any]:
    """Backbone and head that build exactly `plan`; with `nearest`, but for the slow frames.

    ExportError names a field that it cannot express, what is wanted and the nearest.
    """
    if plan.lateral_ratio == 0:
        raise refused(BUILDER, "lateral_ratio", 0, 1, "lateral_infl")
    if plan.frames % plan.alpha:
        whole = max(plan.alpha, plan.frames // plan.alpha * plan.alpha)
        raise refused(BUILDER, "frames", plan.frames, whole, "clip_len and resample_rate")
    ours, theirs = slow_frames(plan)
    if ours != theirs and not nearest:
        raise refused(BUILDER, "slow frames", ours, f"{theirs}, which --nearest takes")
    depth = min(DEPTHS, key=lambda known: _apart(DEPTHS[known], plan.depths))
    pathways = [
        {
            "type": "resnet3d",
            "depth": depth,
            "pretrained": None,
            "lateral": number == 0,
            "base_channels": plan.stems[number],
            "conv1_kernel": (kernel, 7, 7),
            "dilations": (1, 1, 1, 1),
            "conv1_stride_t": 1,
            "pool1_stride_t": 1,
            "inflate": _inflate(plan, number),
            "norm_eval": False,
        }
        for number, kernel in enumerate((1, 5))
    ]
    ratio = max(1, round(plan.stems[0] / plan.stems[1]))
    lateral = {
        "lateral_infl": plan.lateral_ratio,
        "fusion_kernel": plan.lateral_kernel,
        "lateral_norm": True,
    }
    made = {
        "backbone": {
            "type": "ResNet3dSlowFast",
            "pretrained": None,
            "resample_rate": plan.alpha,
            "speed_ratio": plan.alpha,
            "channel_ratio": ratio,
            "slow_pathway": {**pathways[0], **lateral},
            "fast_pathway": pathways[1],
        },
        "cls_head": {
            "type": "SlowFastHead",
            "in_channels": plan.widths[0][-1] + plan.widths[1][-1],
            "num_classes": plan.num_classes,
            "spatial_type": "avg",
        },
    }
    got = integers(made)
    for field, wanted in slowfast_integers(plan).items():
        if got[field] != wanted:
            raise refused(BUILDER, field, wanted, got[field])
    return made


def slow_frames(plan: SlowFastPlan) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The frames that the Slow pathway reads, ours and theirs."""
    number = plan.frames // plan.alpha
    last = plan.frames - 1
    ours = tuple(place * last // (number - 1) if number > 1 else 0 for place in range(number))
    return ours, tuple(place * plan.alpha for place in range(number))


def alike(plan: SlowFastPlan, clip_NCTHW: Tensor) -> Tensor:
    """The clip with frames repeated so that both codebases' Slow pathways read the same ones."""
    same = clip_NCTHW.clone()
    pairs = list(zip(*slow_frames(plan), strict=True))
    for _ in pairs:  # a frame may be both's, of other places
        for ours, theirs in pairs:
            same[:, :, theirs] = same[:, :, ours]
    return same


def integers(model: Mapping[str, Any]) -> dict[str, Any]:
    """The network that MMAction2 makes of a backbone and a head; pairs are Slow, Fast."""
    backbone = model["backbone"]
    slow, fast = backbone["slow_pathway"], backbone["fast_pathway"]
    paths = (slow, fast)
    stems = (slow.get("base_channels", 64), fast.get("base_channels", 8))
    depths = tuple(DEPTHS[path["depth"]] for path in paths)
    ratio, joining = backbone["channel_ratio"], slow.get("lateral_infl", 2)
    widths = tuple(tuple(stem * n for n in WIDE) for stem in stems)
    return {
        "stem": stems,
        "depths": depths,
        "widths": widths,
        "inners": tuple(tuple(stem * n for n in NARROW) for stem in stems),
        "temporal_kernels": tuple(
            tuple(
                tuple(3 if each else 1 for each in (flag if _many(flag) else (flag,) * blocks))
                for flag, blocks in zip(path.get("inflate", (1,) * 4), stages, strict=True)
            )
            for path, stages in zip(paths, depths, strict=True)
        ),
        "lateral": tuple(width * joining // ratio for width in (stems[0], *widths[0][:-1])),
        "lateral_kernel": slow.get("fusion_kernel", 5),
        "lateral_stride": backbone["speed_ratio"],
        "head_in": model["cls_head"]["in_channels"],
        "classes": model["cls_head"]["num_classes"],
    }


def _inflate(plan: SlowFastPlan, pathway: int) -> tuple[Any, ...]:
    """1 or 0 for a stage whose blocks are alike, else one for each block."""
    flags: list[Any] = []
    for number, blocks in zip(plan.temporal[pathway], plan.depths, strict=True):
        mixed = (1,) * number + (0,) * (blocks - number)
        flags.append(mixed if 0 < number < blocks else int(number > 0))
    return tuple(flags)


def _many(flag: Any) -> bool:
    return isinstance(flag, list | tuple)


def _apart(got: tuple[int, ...], wanted: tuple[int, ...]) -> int:
    return sum(abs(a - b) for a, b in zip(got, wanted, strict=True))
