"""DenseNet3D and T3D: densely connected 3D networks, without and with temporal transition layers.

T3D (arXiv 1711.08200) replaces DenseNet3D's 1x1x1 transitions by three parallel convolutions over
different numbers of frames. The authors' code holds DenseNet3D alone and no figure is printed for
T3D; the depths (1, 3, 6), then (1, 3, 4), 128 maps each, are those of the reference counts. Kernels
over an even number of frames are padded as TensorFlow does, so that the branches stay equally long.
A transition halves the frames that are there and leaves a single one alone: any clip is long
enough. With kernels of one frame it is the 2D DenseNet (arXiv 1608.06993).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from expand3d.core.genotype import Genotype, Plan
from expand3d.networks import factors as gammas
from expand3d.networks.factors import round_width
from expand3d.networks.family import Factor, Preset, Published, Source
from expand3d.networks.layers.describe import (
    Concat,
    Conv,
    Dropout,
    Identity,
    Layer,
    Linear,
    Mean,
    Named,
    Norm,
    Pool,
    Relu,
    Seq,
    conv_norm,
    seq,
)
from expand3d.networks.layers.family import LayeredFamily

STEM_WIDTH = 64
GROWTH = 32
#: Growth rates are small numbers: a grid of 8 would leave an expansion too few of them.
GROWTH_DIVISOR = 4
#: A dense layer's inner width / its growth rate (bn_size) at gamma_b = 1.
BN_SIZE = 4
#: Dense layers of the four blocks, by the total depth that papers name the network after.
DEPTHS = {
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
}
BLOCKS = (1, 2, 3, 4)

#: torchvision's 2D networks; older files have a dot before a layer's number.
TORCHVISION = Source(
    "torchvision",
    marker=r"features\.denseblock1\.denselayer1\.conv\.?1\.weight",
    rules=(
        (r"features\.conv0\.(.*)", r"stem.conv.conv.\1"),
        (r"features\.norm0\.(.*)", r"stem.conv.bn.\1"),
        *(
            (
                rf"features\.denseblock{block}\.denselayer(\d+)\.{kind}\.?(\d)\.(.*)",
                rf"block{block}.layer\1.new.{kind}\2.\3",
            )
            for block in BLOCKS
            for kind in ("norm", "conv")
        ),
        (r"features\.transition(\d)\.(norm|conv)\.(.*)", r"transition\1.\2.\3"),
        (r"features\.norm5\.(.*)", r"head.norm.\1"),
        (r"classifier\.(.*)", r"head.fc.\1"),
    ),
)


@dataclass(frozen=True)
class T3DPlan(Plan):
    """T3D's integers."""

    stem: int
    growth: int
    inner: int
    #: Dense layers of each block.
    depths: tuple[int, ...]
    #: Frames that the kernels of the stem and of the dense layers span.
    stem_kernel: int
    kernel: int
    #: Temporal strides of the stem's convolution and pool.
    stem_stride: int
    pool_stride: int
    #: Frames that a transition's branches span, for each transition; () is a 1x1x1 convolution.
    transitions: tuple[tuple[int, ...], ...]
    #: Maps of a branch.
    branch: int


class T3D(LayeredFamily):
    """Dense blocks with transitions that halve time and space."""

    name = "t3d"
    axes = (
        *("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_w", "gamma_b"),
        "ttl_width",
    )
    plan_type = T3DPlan
    factors: ClassVar[Mapping[str, Factor]] = gammas.table(
        gammas.frame_stride(),
        gammas.frames(),
        gammas.crop(),
        gammas.depth("layers of a dense block = ceil(gamma_d x block1 to block4)"),
        gammas.width("growth rate, stem and transitions; 1 is a growth rate of 32"),
        gammas.bottleneck("inner width of a dense layer / (4 x growth rate)"),
        *(
            Factor(f"block{n}", f"dense layers of block {n} at gamma_d = 1", 1, 128, integer=True)
            for n in BLOCKS
        ),
        Factor("ttl", "1: temporal transition layers, 0: 1x1x1", 0, 1, integer=True),
        Factor("ttl_width", "maps of a branch at gamma_w = 1", 8, 1024, integer=True, step=8),
        Factor("ttl_short", "frames that the first branch spans", 1, 16, integer=True),
        Factor("ttl_middle", "frames that the second branch spans", 1, 16, integer=True),
        Factor("ttl_long", "frames that the third branch spans", 1, 16, integer=True),
        Factor("ttl_first", "the same, in the first transition", 1, 16, integer=True),
        Factor("kernel", "frames that a dense layer's kernel spans", 1, 7, integer=True),
        Factor("stem_kernel", "frames that the stem's kernel spans", 1, 15, integer=True),
        Factor("stem_stride", "temporal stride of the stem's convolution", 1, 2, integer=True),
        Factor("pool_stride", "temporal stride of the stem's pool", 1, 2, integer=True),
    )
    base = Genotype(
        "t3d",
        {
            **dict.fromkeys(("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_b"), 1.0),
            "gamma_w": 1 / 4,
            **{"block1": 1, "block2": 2, "block3": 4, "block4": 3},
            **{"ttl": 1, "ttl_width": 32},
            **{"ttl_short": 1, "ttl_middle": 3, "ttl_long": 4, "ttl_first": 6},
            **{"kernel": 3, "stem_kernel": 3, "stem_stride": 1, "pool_stride": 1},
        },
    )

    sources = (TORCHVISION,)

    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        width, depth = genotype["gamma_w"], genotype["gamma_d"]
        growth = round_width(GROWTH, width, divisor=GROWTH_DIVISOR)
        has_branches = bool(genotype["ttl"])
        near = (int(genotype["ttl_short"]), int(genotype["ttl_middle"]))
        far = ("ttl_first", "ttl_long", "ttl_long")
        return {
            "stem": round_width(STEM_WIDTH, width),
            "growth": growth,
            "inner": round_width(BN_SIZE * growth, genotype["gamma_b"]),
            "depths": tuple(math.ceil(depth * genotype[f"block{n}"] - 1e-9) for n in BLOCKS),
            **{key: int(genotype[key]) for key in ("stem_kernel", "kernel")},
            **{key: int(genotype[key]) for key in ("stem_stride", "pool_stride")},
            "transitions": tuple((*near, int(genotype[f])) if has_branches else () for f in far),
            "branch": round_width(genotype["ttl_width"], width) if has_branches else 0,
        }

    def layers(self, plan: Any, *, dropout: float = 0.5) -> Seq:
        assert isinstance(plan, T3DPlan)
        width, dense = plan.stem, _dense_layer(plan)
        stages: list[Named] = [("stem", _stem(plan))]
        for number, depth in enumerate(plan.depths, start=1):
            block = [(f"layer{n + 1}", dense) for n in range(depth)]
            stages.append((f"block{number}", seq(*block)))
            width += depth * plan.growth
            if number <= len(plan.transitions):
                branches = plan.transitions[number - 1]
                out = plan.branch if branches else width // 2
                stages.append((f"transition{number}", _transition(out, branches)))
                width = len(branches) * out if branches else out
        head = seq(
            ("norm", Norm()),
            ("relu", Relu()),
            ("pool", Mean()),
            ("dropout", Dropout(dropout)),
            ("fc", Linear(plan.num_classes)),
        )
        return Seq((*stages, ("head", head)))

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


def _stem(plan: T3DPlan) -> Seq:
    conv = conv_norm(plan.stem, (plan.stem_kernel, 7), (plan.stem_stride, 2))
    window = 3 if plan.pool_stride > 1 else 1
    pool = Pool("max", (window, 3), (plan.pool_stride, 2), (window // 2, 1))
    return seq(("conv", conv), ("pool", pool))


def _dense_layer(plan: T3DPlan) -> Concat:
    """The input, and beside it `growth` new maps made from it."""
    new = seq(
        ("norm1", Norm()),
        ("relu1", Relu()),
        ("conv1", Conv(plan.inner)),
        ("norm2", Norm()),
        ("relu2", Relu()),
        ("conv2", Conv(plan.growth, (plan.kernel, 3), padding="same")),
    )
    return Concat((("kept", Identity()), ("new", new)))


def _transition(out: int, branches: tuple[int, ...]) -> Seq:
    """`out` maps, or as many from each branch, and half the frames, height and width."""

    def normed(conv: Conv) -> list[Named]:
        return [("norm", Norm()), ("relu", Relu()), ("conv", conv)]

    pool: Named = ("pool", Pool("avg", (2, 2), (2, 2), within=True))
    if not branches:
        return seq(*normed(Conv(out)), pool)
    kernels = [(frames, 1 if frames == 1 else 3) for frames in branches]
    convs: list[tuple[str, Layer]] = [
        (f"branch{number}", seq(*normed(Conv(out, kernel, padding="same"))))
        for number, kernel in enumerate(kernels, start=1)
    ]
    return seq(("branches", Concat(tuple(convs))), pool)


def _preset(
    name: str,
    depth: int,
    *figures: Published,
    classes: int = 400,
    frames: int = 32,
    **factors: float,
) -> Preset:
    """A network of the paper, which reads every second of 64 frames of 224 x 224."""
    blocks = {f"block{n}": float(layers) for n, layers in zip(BLOCKS, DEPTHS[depth], strict=True)}
    genotype = T3D.base.replace(
        gamma_t=frames,
        gamma_tau=2 if frames > 1 else 1,
        gamma_s=224 / gammas.BASE_CROP,
        gamma_w=1,
        **{"ttl_width": 128, "stem_stride": 2, "pool_stride": 2, **blocks, **factors},
    )
    return Preset(name, genotype, classes, figures)


_PLAIN = {"ttl": 0}
#: DenseNet itself: every kernel spans one frame, and the clip is one.
_FLAT = {"ttl": 0, "kernel": 1, "stem_kernel": 1, "stem_stride": 1, "pool_stride": 1}
_TOP1 = Published(
    "top1",
    "62.2",
    "Kinetics-400, from scratch; depth and views are not said",
    "survey table of arXiv 1711.08200's results",
)


def _torchvision(macs: str, params: str) -> tuple[Published, Published]:
    source = "torchvision model table"
    return (
        Published("macs", macs, "conv + linear multiply-adds, 1 view", source, "macs"),
        Published("params", params, "all learned numbers", source, "params"),
    )


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset("t3d-121", 121),
        _preset("t3d-169", 169, _TOP1),
        _preset("densenet3d-121", 121, **_PLAIN),
        _preset("densenet3d-169", 169, **_PLAIN),
        _preset(
            "densenet-121",
            121,
            *_torchvision("2.83 G", "7.98 M"),
            **{"classes": 1000, "frames": 1, **_FLAT},
        ),
        _preset(
            "densenet-169",
            169,
            *_torchvision("3.36 G", "14.15 M"),
            **{"classes": 1000, "frames": 1, **_FLAT},
        ),
    )
}

FAMILY = T3D()
