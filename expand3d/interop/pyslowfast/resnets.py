"""C2D, I3D-R50, SlowOnly, CSN and R(2+1)D in PySlowFast's config keys.

Rules as in facebookresearch/SlowFast 287ec007, video_model_builder and ptv_model_builder. `ResNet`
has its temporal kernels from MODEL.ARCH, in each stage's first blocks; `PTVCSN` and `PTVR2plus1D`
call pytorchvideo's builders with fixed strides. All pool fixed windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expand3d.core.genotype import Genotype, Plan
from expand3d.interop.pyslowfast.slowfast import DEPTHS, NARROW, STRIDE, WIDE
from expand3d.interop.pytorchvideo import resnets as pytorchvideo
from expand3d.interop.pytorchvideo.spelled import DEPTHS as PTV_DEPTHS
from expand3d.interop.pytorchvideo.spelled import compare, nearest_depth
from expand3d.interop.spelling import refused
from expand3d.networks.families.csn import CSNPlan
from expand3d.networks.families.r2plus1d import R2Plus1DPlan
from expand3d.networks.families.slowonly import SlowOnlyPlan

BUILDER = "PySlowFast's ResNet"
Kernels = tuple[tuple[int, ...], ...]
#: MODEL.ARCH: the stem's temporal kernel, those of res2 to res5, repeated to the depth, and the
#: frames that the pooling behind res2 makes one of.
ARCHS: Mapping[str, tuple[int, Kernels, int]] = {
    "slow_c2d": (1, ((1,),) * 4, 1),
    "slow": (1, ((1,), (1,), (3,), (3,)), 1),
    "c2d": (1, ((1,),) * 4, 2),
    "slow_i3d": (5, ((3,), (3, 1), (3, 1), (1, 3)), 1),
    "i3d": (5, ((3,), (3, 1), (3, 1), (1, 3)), 2),
}
#: What a class makes one frame of, and the strides that its stages have over time and space.
PTV_CLASSES = {
    "PTVCSN": (8, ((1, 1), (2, 2), (2, 2), (2, 2))),
    "PTVR2plus1D": (4, ((1, 2), (1, 2), (2, 2), (2, 2))),
}


def config(plan: Plan, genotype: Genotype | None = None) -> dict[str, Any]:
    """The keys with which PySlowFast builds exactly `plan`, by their dotted names.

    ExportError names a field that it cannot express, what is wanted and the nearest.
    """
    if plan.crop % STRIDE:  # its window is floor(crop / 32), the features are ceil(crop / 32)
        nearest = max(STRIDE, round(plan.crop / STRIDE) * STRIDE)
        raise refused(BUILDER, "crop", plan.crop, nearest, "DATA.TRAIN_CROP_SIZE")
    common = {
        "MODEL.NUM_CLASSES": plan.num_classes,
        "DATA.INPUT_CHANNEL_NUM": [3],
        "DATA.NUM_FRAMES": plan.frames,
        "DATA.TRAIN_CROP_SIZE": plan.crop,
        "RESNET.NUM_GROUPS": 1,
        "RESNET.TRANS_FUNC": "bottleneck_transform",
        "RESNET.STRIDE_1X1": False,
        "RESNET.ZERO_INIT_FINAL_BN": True,
        "RESNET.SPATIAL_STRIDES": [[1], [2], [2], [2]],
        "RESNET.SPATIAL_DILATIONS": [[1]] * 4,
        "NONLOCAL.LOCATION": [[[]]] * 4,
        "NONLOCAL.GROUP": [[1]] * 4,
        "NONLOCAL.INSTANTIATION": "dot_product",
    }
    if isinstance(plan, SlowOnlyPlan):
        return common | _resnet(plan)
    assert isinstance(plan, CSNPlan | R2Plus1DPlan)
    return common | _pytorchvideos(plan)


def integers(config: Mapping[str, Any]) -> dict[str, Any]:
    """The widths, depths, temporal kernels and head's window that PySlowFast makes of a config."""
    name, stem = config["MODEL.MODEL_NAME"], config.get("RESNET.WIDTH_PER_GROUP", 64)
    frames, side = config["DATA.NUM_FRAMES"], config["DATA.TRAIN_CROP_SIZE"] // STRIDE
    depths = (DEPTHS if name == "ResNet" else PTV_DEPTHS)[config.get("RESNET.DEPTH", 50)]
    found = {
        "stem": stem,
        "depths": depths,
        "widths": tuple(stem * n for n in WIDE),
        "inners": tuple(stem * n for n in NARROW),
        "classes": config["MODEL.NUM_CLASSES"],
    }
    if name != "ResNet":
        halved, strides = PTV_CLASSES[name]
        return {**found, "strides": strides, "pool_window": (frames // halved, side, side)}
    stem_kernel, patterns, pooled = ARCHS[config["MODEL.ARCH"]]
    counts = [count for (count,) in config["RESNET.NUM_BLOCK_TEMP_KERNEL"]]
    return {
        **found,
        "stem_kernel": stem_kernel,
        "stem_strides": (1, 1),
        "kernels": tuple(_kernels(*each) for each in zip(patterns, depths, counts, strict=True)),
        "res2_pool": pooled == 2,
        "pool_window": (frames // pooled, side, side),
    }


def _resnet(plan: SlowOnlyPlan) -> dict[str, Any]:
    """MODEL.ARCH and the keys beside it; the nearest architecture is the one refused by."""
    depths = tuple(map(len, plan.kernels))
    depth = nearest_depth(DEPTHS, depths)
    found = []
    for arch, (_, patterns, _) in ARCHS.items():
        stages = zip(patterns, DEPTHS[depth], plan.kernels, strict=True)
        counts = [_count(*each) for each in stages]
        made = {
            "MODEL.ARCH": arch,
            "MODEL.MODEL_NAME": "ResNet",
            "MODEL.NUM_CLASSES": plan.num_classes,
            "DATA.NUM_FRAMES": plan.frames,
            "DATA.TRAIN_CROP_SIZE": plan.crop,
            "RESNET.DEPTH": depth,
            "RESNET.WIDTH_PER_GROUP": plan.stem,
            "RESNET.NUM_BLOCK_TEMP_KERNEL": [[count] for count in counts],
        }
        got, wanted = integers(made), _integers_of(plan)
        found.append((sum(got[field] != value for field, value in wanted.items()), made, got))
    _, made, got = min(found, key=lambda each: each[0])
    compare(BUILDER, got, _integers_of(plan))
    return made


def _integers_of(plan: SlowOnlyPlan) -> dict[str, Any]:
    """The same of our network, whose head pools over all there is."""
    side = -(-plan.crop // STRIDE)
    frames = plan.frames
    for stride in plan.stem_strides:
        frames = -(-frames // stride)
    return {
        "depths": tuple(map(len, plan.kernels)),
        **{name: getattr(plan, name) for name in ("stem", "widths", "inners", "stem_kernel")},
        **{name: getattr(plan, name) for name in ("stem_strides", "kernels", "res2_pool")},
        "classes": plan.num_classes,
        "pool_window": (frames // 2 if plan.res2_pool else frames, side, side),
    }


def _pytorchvideos(plan: CSNPlan | R2Plus1DPlan) -> dict[str, Any]:
    """The keys of the classes that call pytorchvideo's builders."""
    wanted: dict[str, Any]
    if isinstance(plan, CSNPlan):
        name, arch = "PTVCSN", "csn"
        spelled = pytorchvideo.csn(plan, builder=f"PySlowFast's {name}")
        wanted = {"inners": plan.inners}
    else:
        name, arch = "PTVR2plus1D", "r2plus1d"
        spelled = pytorchvideo.r2plus1d(plan, builder=f"PySlowFast's {name}")
        wanted = {"strides": plan.strides}
    halved, _ = PTV_CLASSES[name]
    if plan.frames % halved:
        nearest = max(halved, plan.frames // halved * halved)
        raise refused(f"PySlowFast's {name}", "frames", plan.frames, nearest, "DATA.NUM_FRAMES")
    made = {
        "MODEL.ARCH": arch,
        "MODEL.MODEL_NAME": name,
        "MODEL.SINGLE_PATHWAY_ARCH": [arch],
        "MODEL.NUM_CLASSES": plan.num_classes,
        "DATA.NUM_FRAMES": plan.frames,
        "DATA.TRAIN_CROP_SIZE": plan.crop,
        "RESNET.DEPTH": spelled.arguments["model_depth"],
        "RESNET.WIDTH_PER_GROUP": plan.stem,
    }
    compare(f"PySlowFast's {name}", integers(made), wanted)
    return made


def _kernels(pattern: tuple[int, ...], blocks: int, count: int) -> tuple[int, ...]:
    """The temporal kernels of a stage's blocks: the pattern in the first `count`, then none."""
    return (pattern * blocks)[:count] + (1,) * (blocks - count)


def _count(pattern: tuple[int, ...], blocks: int, wanted: tuple[int, ...]) -> int:
    """The number of a stage's first blocks with its pattern that is nearest to `wanted`."""
    return min(range(blocks, -1, -1), key=lambda n: _apart(_kernels(pattern, blocks, n), wanted))


def _apart(got: tuple[int, ...], wanted: tuple[int, ...]) -> int:
    return sum(a != b for a, b in zip(got, wanted, strict=False))
