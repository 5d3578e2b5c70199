"""SlowOnly, C2D, I3D-R50, CSN, C3D and TSN as MMAction2's configs spell them.

Rules as in open-mmlab/mmaction2 4d6c9347: `ResNet3d` builds all of SlowOnly's family, of which its
ResNet3dSlowOnly is a part. Its C2D pads no max-pool and its ResNet2Plus1d splits the shortcuts too:
both are networks of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expand3d.core.genotype import Genotype
from expand3d.interop.pytorchvideo.spelled import compare, nearest_depth
from expand3d.interop.spelling import refused
from expand3d.networks.families import backbones
from expand3d.networks.families.c3d import DEPTHS as C3D_DEPTHS
from expand3d.networks.families.c3d import LAST_PADDED, C3DPlan
from expand3d.networks.families.c3d import WIDTHS as C3D_WIDTHS
from expand3d.networks.families.csn import CSNPlan
from expand3d.networks.families.r2plus1d import R2Plus1DPlan
from expand3d.networks.families.segments import SegmentPlan
from expand3d.networks.families.slowonly import SlowOnlyPlan
from expand3d.networks.weights.convert import BN_EPS

RESNET, CSN, R2PLUS1D, C3D, TSN = (
    f"MMAction2's {name}" for name in ("ResNet3d", "ResNet3dCSN", "ResNet2Plus1d", "C3D", "ResNet")
)
#: Depths of bottleneck blocks and of basic ones, and the blocks of res2 to res5.
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
WIDE, NARROW = (4, 8, 16, 32), (1, 2, 4, 8)
#: What the fully connected layers put out there.
FC = 4096
Model = dict[str, Any]


def slowonly(plan: SlowOnlyPlan, genotype: Genotype | None = None) -> Model:
    """Backbone and head that build exactly `plan`.

    ExportError names a field that it cannot express, what is wanted and the nearest.
    """
    conv, pool = plan.stem_strides
    inflate = [tuple(int(frames > 1) for frames in stage) for stage in plan.kernels]
    backbone = {
        "type": "ResNet3d",
        "pretrained2d": False,
        "pretrained": None,
        "depth": nearest_depth(DEPTHS, tuple(map(len, plan.kernels))),
        "base_channels": plan.stem,
        "conv1_kernel": (plan.stem_kernel, 7, 7),
        "conv1_stride_t": conv,
        "pool1_stride_t": pool,
        "with_pool2": plan.res2_pool,
        "inflate": tuple(stage[0] if len(set(stage)) == 1 else stage for stage in inflate),
        "norm_eval": False,
        "zero_init_residual": True,
    }
    made = _with_head(backbone, plan.widths[-1], plan.num_classes)
    wanted = {
        "depths": tuple(map(len, plan.kernels)),
        **{field: getattr(plan, field) for field in ("stem", "widths", "inners", "kernels")},
        **{field: getattr(plan, field) for field in ("stem_kernel", "stem_strides", "res2_pool")},
    }
    compare(RESNET, integers(made), {**wanted, "classes": plan.num_classes})
    return made


def csn(plan: CSNPlan, genotype: Genotype | None = None) -> Model:
    """The same of CSN."""
    backbone = {
        "type": "ResNet3dCSN",
        "pretrained2d": False,
        "pretrained": None,
        "depth": nearest_depth(DEPTHS, plan.depths),
        "base_channels": plan.stem,
        "with_pool2": False,
        "bottleneck_mode": "ip" if plan.preserved else "ir",
        "norm_cfg": {"type": "BN3d", "eps": BN_EPS},
        "norm_eval": False,
        "zero_init_residual": True,
    }
    made = _with_head(backbone, plan.widths[-1], plan.num_classes)
    fields = ("depths", "stem", "widths", "inners", "preserved")
    wanted = {field: getattr(plan, field) for field in fields}
    compare(CSN, integers(made), {**wanted, "classes": plan.num_classes})
    return made


def r2plus1d(plan: R2Plus1DPlan, genotype: Genotype | None = None) -> Model:
    """No R(2+1)D of ours is built there."""
    raise refused(R2PLUS1D, "shortcuts", "one 1x1x1", "two, with BatchNorm between them")


def c3d(plan: C3DPlan, genotype: Genotype | None = None) -> Model:
    """The same of C3D, whose widths are fixed there."""
    fixed = {
        "widths": C3D_WIDTHS,
        "depths": C3D_DEPTHS,
        "kernel": 3,
        "fc_norm": False,
        "first_pool": 1,
        "pool_padding": LAST_PADDED,
        "fc": FC,
    }
    compare(C3D, fixed, {field: getattr(plan, field) for field in fixed})
    frames, side = plan.frames, plan.crop // 2
    for number in range(2, 6):
        padding = 2 if number == len(C3D_WIDTHS) else 0
        frames, side = frames // 2, (side + padding) // 2
    backbone = {
        "type": "C3D",
        "pretrained": None,
        "style": "pytorch",
        "conv_cfg": {"type": "Conv3d"},
        "norm_cfg": {"type": "BN3d"} if plan.conv_norm else None,
        "act_cfg": {"type": "ReLU"},
        "out_dim": C3D_WIDTHS[-1] * frames * side * side,
        "dropout_ratio": 0.5,
        "init_std": 0.005,
    }
    made = _with_head(backbone, FC, plan.num_classes)
    made["cls_head"]["spatial_type"] = None
    return made


def tsn(plan: SegmentPlan, genotype: Genotype | None = None) -> Model:
    """The same of a TSN of pictures on a ResNet."""
    kinds = tuple(stream.kind for stream in plan.streams)
    compare(TSN, {"streams": ("rgb",)}, {"streams": kinds})
    compare(TSN, {"consensus": "average"}, {"consensus": plan.consensus})
    network = plan.streams[0].network
    known = {
        backbones.NAMES[backbones.BOTTLENECK]: DEPTHS,
        backbones.NAMES[backbones.RESNET]: BASIC,
    }
    if network.name not in known:
        raise refused(TSN, "backbone", network.name, " or ".join(known))
    depth = nearest_depth(known[network.name], network.depths)
    backbone = {"type": "ResNet", "pretrained": None, "depth": depth, "norm_eval": False}
    width = 2048 if depth in DEPTHS else 512
    made = _with_head(backbone, width, plan.num_classes)
    made["cls_head"] |= {"type": "TSNHead", "consensus": {"type": "AvgConsensus", "dim": 1}}
    wanted = {"widths": network.widths, "depths": network.depths, "classes": plan.num_classes}
    compare(TSN, integers(made), wanted)
    return made


def integers(model: Mapping[str, Any]) -> dict[str, Any]:
    """The network that MMAction2 makes of a backbone and a head."""
    backbone, classes = model["backbone"], model["cls_head"]["num_classes"]
    kind = backbone["type"]
    if kind == "C3D":
        convolutions = {"widths": C3D_WIDTHS, "depths": C3D_DEPTHS, "fc": FC}
        return {**convolutions, "conv_norm": backbone["norm_cfg"] is not None, "classes": classes}
    depths = {**DEPTHS, **BASIC}[backbone["depth"]]
    if kind == "ResNet":
        return {"widths": ((64,), (64, 128, 256, 512)), "depths": depths, "classes": classes}
    stem = backbone.get("base_channels", 64)
    found = {
        "stem": stem,
        "depths": depths,
        "widths": tuple(stem * n for n in WIDE),
        "inners": tuple(stem * n for n in NARROW),
        "classes": classes,
    }
    if kind == "ResNet3dCSN":
        return {**found, "preserved": backbone["bottleneck_mode"] == "ip"}
    slowonly = kind == "ResNet3dSlowOnly"
    inflate = backbone.get("inflate", (0, 0, 1, 1) if slowonly else (1, 1, 1, 1))
    return {
        **found,
        "stem_kernel": backbone.get("conv1_kernel", (1 if slowonly else 3, 7, 7))[0],
        "stem_strides": (backbone.get("conv1_stride_t", 1), backbone.get("pool1_stride_t", 1)),
        "kernels": tuple(
            tuple(3 if each else 1 for each in (flag if _many(flag) else (flag,) * blocks))
            for flag, blocks in zip(inflate, depths, strict=True)
        ),
        "res2_pool": backbone.get("with_pool2", not slowonly),
    }


def _with_head(backbone: Model, width: int, classes: int) -> Model:
    head = {"type": "I3DHead", "in_channels": width, "num_classes": classes, "spatial_type": "avg"}
    return {"backbone": backbone, "cls_head": head}


def _many(flag: Any) -> bool:
    return isinstance(flag, list | tuple)
