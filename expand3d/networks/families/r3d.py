"""R3D: ResNets of 3D convolutions, and which of their stages are 3D.

Two networks share the name and nearly the parameters. Tran et al. (arXiv 1711.11248, torchvision,
VMZ) have no max-pool behind the stem; Hara et al. (arXiv 1708.07632, 1711.09577) have a 7x7x7 stem
and a 3x3x3 max-pool of stride 2, also over time, and cost a fifth. The mixed networks of the former
keep 3D convolutions in some stages only (MC, rMC), in none (f-R2D), or take the frames as channels
of one image (R2D). A 2D stage keeps its frames: MACs do not fall with the number of 3D stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from expand3d.core.genotype import Genotype, Plan
from expand3d.networks import factors as gammas
from expand3d.networks.factors import round_width
from expand3d.networks.families import resnet
from expand3d.networks.family import Factor, Preset, Published
from expand3d.networks.layers.describe import FoldTime, Layer, Named, Pair, Pool, Seq, conv_norm
from expand3d.networks.layers.family import LayeredFamily
from expand3d.networks.weights.resnet_names import IN_A_ROW, torchvision

#: r3d_18 and mc3_18; a block's convolution and BatchNorm are one nn.Sequential each.
TORCHVISION = torchvision({"0": "conv.conv", "1": "conv.bn"}, IN_A_ROW)


@dataclass(frozen=True)
class R3DPlan(Plan):
    """R3D's integers; tuples run over the stages res2 to res5."""

    stem: int
    stem_kernel: int
    stem_pool: bool
    widths: tuple[int, ...]
    inners: tuple[int, ...]
    depths: tuple[int, ...]
    bottleneck: bool
    #: Whether convolutions are 3D in the stem and in res2 to res5.
    volumetric: tuple[bool, ...]
    fold_time: bool


class R3D(LayeredFamily):
    """3x3x3 everywhere, time and space halved together from res3 on."""

    name = "r3d"
    axes = ("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_w", "gamma_b")
    plan_type = R3DPlan
    factors: ClassVar[Mapping[str, Factor]] = gammas.table(
        gammas.frame_stride(),
        gammas.frames(),
        gammas.crop(),
        gammas.depth("blocks of a stage = ceil(gamma_d x res2, res3, res4, res5)"),
        gammas.width("width of every stage; 1 is 64 channels in the stem"),
        gammas.bottleneck("inner width of a block / what the paper has"),
        *resnet.depth_table(),
        Factor("bottleneck", "1: bottleneck blocks, 0: basic ones", 0, 1, integer=True),
        Factor("stem_kernel", "frames that the stem's kernel spans", 1, 15, integer=True),
        Factor("stem_pool", "1: max-pool of stride 2 behind the stem", 0, 1, integer=True),
        Factor("first_3d", "first 3D stage: 1 is the stem, 6 none", 1, 6, integer=True),
        Factor("last_3d", "last 3D stage: 5 is res5, 0 none", 0, 5, integer=True),
        Factor("fold_time", "1: frames are channels of one image", 0, 1, integer=True),
    )
    base = Genotype(
        "r3d",
        {
            **dict.fromkeys(("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_b"), 1.0),
            "gamma_w": 1 / 8,
            **dict.fromkeys(("res2", "res3", "res4", "res5"), 1),
            **{"bottleneck": 0, "stem_kernel": 3, "stem_pool": 0, "first_3d": 1, "last_3d": 5},
            "fold_time": 0,
        },
    )

    sources = (TORCHVISION,)

    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        narrow = resnet.narrow_widths(genotype)
        bottleneck = bool(genotype["bottleneck"])
        folded = bool(genotype["fold_time"])
        first, last = genotype["first_3d"], genotype["last_3d"]
        return {
            "stem": round_width(resnet.STEM_WIDTH, genotype["gamma_w"]),
            "stem_kernel": int(genotype["stem_kernel"]),
            "stem_pool": bool(genotype["stem_pool"]),
            "widths": tuple(w * (resnet.EXPANSION if bottleneck else 1) for w in narrow),
            "inners": resnet.inner_widths(genotype),
            "depths": resnet.depths(genotype),
            "bottleneck": bottleneck,
            "volumetric": tuple(first <= n <= last and not folded for n in (1, 2, 3, 4, 5)),
            "fold_time": folded,
        }

    def layers(self, plan: Any, *, dropout: float = 0.5) -> Seq:
        assert isinstance(plan, R3DPlan)
        kind = resnet.bottleneck if plan.bottleneck else resnet.basic

        def block(number: int, place: int, inputs: int, stride: Pair) -> Layer:
            make = resnet.full if plan.volumetric[number + 1] else resnet.spatial
            return kind(inputs, plan.inners[number], plan.widths[number], stride, make)

        stages = resnet.stages(
            plan.stem,
            widths=plan.widths,
            depths=plan.depths,
            strides=[(1, 1), *((2 if in_3d else 1, 2) for in_3d in plan.volumetric[2:])],
            block=block,
        )
        head = resnet.head(plan.num_classes, dropout)
        return Seq((("stem", _stem(plan)), *stages, ("head", head)))

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


def _stem(plan: R3DPlan) -> Seq:
    parts: list[Named] = [("fold", FoldTime())] if plan.fold_time else []
    kernel = plan.stem_kernel if plan.volumetric[0] else 1
    parts.append(("conv", conv_norm(plan.stem, (kernel, 7), (1, 2))))
    if plan.stem_pool:
        t = 1 if not plan.volumetric[0] else 2
        pool: Layer = Pool("max", (2 * t - 1, 3), (t, 2), (t - 1, 1))
        parts.append(("pool", pool))
    return Seq(tuple(parts))


TRAN, HARA = "arXiv 1711.11248", "arXiv 1711.09577"
VMZ = "VMZ model table"
ONE_VIEW = "conv + linear multiply-adds, 1 view"


def _preset(
    name: str,
    clip: tuple[int, int, int],
    depth: int,
    *figures: Published,
    **factors: float,
) -> Preset:
    """A network of the papers: frames, stride and crop, then its depth and what is special."""
    frames, stride, crop = clip
    genotype = R3D.base.replace(
        gamma_t=frames,
        gamma_tau=stride,
        gamma_s=crop / gammas.BASE_CROP,
        gamma_w=1,
        bottleneck=float(depth >= 50),
        **{**resnet.depth_factors(depth), **factors},
    )
    return Preset(name, genotype, 400, figures)


def _macs(value: str, source: str = VMZ) -> Published:
    return Published("macs", value, ONE_VIEW, source, "macs")


def _params(value: str, source: str = VMZ) -> Published:
    return Published("params", value, "all learned numbers", source, "params")


def _top1(value: str, source: str = VMZ) -> Published:
    return Published("top1", value, "Kinetics-400, 10 clips of a video, from scratch", source)


_CLIP = (16, 2, 112)
_HARA = {"stem_kernel": 7, "stem_pool": 1}
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset("r3d-18", _CLIP, 18, _macs("40.7 G"), _params("33.4 M"), _top1("64.7")),
        _preset("r3d-34", _CLIP, 34),
        _preset("r3d-50", _CLIP, 50),
        _preset("r3d-10", _CLIP, 10),
        _preset("r3d-10-hara", _CLIP, 10, **_HARA),
        _preset("r3d-18-hara", _CLIP, 18, **_HARA),
        _preset("r3d-34-hara", _CLIP, 34, **_HARA),
        _preset("r3d-50-hara", _CLIP, 50, **_HARA),
        _preset("r3d-101-hara", _CLIP, 101, **_HARA),
        _preset("r3d-152-hara", _CLIP, 152, **_HARA),
        _preset("r3d-200-hara", _CLIP, 200, **_HARA),
        _preset("r2d-18", _CLIP, 18, fold_time=1),
        _preset("f-r2d-18", _CLIP, 18, last_3d=0),
        *(_preset(f"mc{n}-18", _CLIP, 18, last_3d=n - 1) for n in (2, 3, 4, 5)),
        *(_preset(f"rmc{n}-18", _CLIP, 18, first_3d=n) for n in (2, 3, 4, 5)),
    )
}

FAMILY = R3D()
