"""2D networks that two-stream networks and TSN apply to every picture of a clip.

All kernels span one frame, so that the frames of a clip pass the same weights. Each backbone is the
printed one at gamma_d = gamma_w = 1, but for its head: `pooled` ones average over space before the
classifier, which leaves the input's size free; the others keep the printed fully connected layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expand3d.core.genotype import Genotype
from expand3d.networks.factors import round_width
from expand3d.networks.families import resnet
from expand3d.networks.family import Factor
from expand3d.networks.layers.describe import (
    Concat,
    Conv,
    Dropout,
    Layer,
    Named,
    Norm,
    Pair,
    Pool,
    Relu,
    Seq,
    conv_norm,
    seq,
)
from expand3d.networks.layers.streams import Consensus, FrameMean, FrameNorm, Rule

#: The value of the factor `backbone`.
NAMES = ("resnet", "resnet-bottleneck", "vgg", "cnn-m", "bn-inception")
RESNET, BOTTLENECK, VGG, CNN_M, BN_INCEPTION = range(len(NAMES))

#: VGG-16 (arXiv 1409.1556): convolutions and width of each stage; a max-pool ends it.
VGG_STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
VGG_UNITS = (4096, 4096)
#: CNN-M-2048 (arXiv 1405.3531): widths of conv1 to conv5, and of the fully connected layers.
CNN_M_WIDTHS = (96, 256, 512, 512, 512)
CNN_M_UNITS = (4096, 2048)
#: BN-Inception (arXiv 1502.03167): the stem's widths, and blocks of
#: 1x1; 1x1 before a 3x3, and that; 1x1 before two 3x3, and those; 1x1 behind the pool.
#: A block whose first number is 0 halves the size: it has no 1x1 of its own and none behind a
#: max-pool.
BNI_STEM = (64, 64, 192)
BNI_BLOCKS: Sequence[Sequence[tuple[int, int, int, int, int, int]]] = (
    ((64, 64, 64, 64, 96, 32), (64, 64, 96, 64, 96, 64), (0, 128, 160, 64, 96, 0)),
    (
        (224, 64, 96, 96, 128, 128),
        (192, 96, 128, 96, 128, 128),
        (160, 128, 160, 128, 160, 128),
        (96, 128, 192, 160, 192, 128),
        (0, 128, 192, 192, 256, 0),
    ),
    ((352, 192, 320, 160, 224, 128), (352, 192, 320, 192, 224, 128)),
)
#: Caffe's pool that rounds up; on odd sides it keeps to what the convolutions beside it leave.
HALVING = Pool("max", (1, 3), (1, 2), "same")


@dataclass(frozen=True)
class Backbone:
    """The integers of one 2D network.

    `widths` are the printed ones times the width factor, in the order of the network; `depths` the
    blocks, or convolutions, of each stage; `units` those of the fully connected layers. Where there
    are none, space is averaged, and BatchNorm stands in place of biases and of CNN-M's LRN.
    """

    name: str
    widths: tuple[tuple[int, ...], ...]
    depths: tuple[int, ...]
    units: tuple[int, ...] = ()


def backbone(
    kind: int, *, width: float, depth: float, pooled: bool, table: Sequence[int]
) -> Backbone:
    """The integers of backbone number `kind`; the only place that rounds them.

    `table` are the blocks of a ResNet's res2 to res5 at `depth` 1.
    """

    def wide(*sizes: int) -> tuple[int, ...]:
        return tuple(round_width(size, width) if size else 0 for size in sizes)

    def deep(counts: Sequence[int]) -> tuple[int, ...]:
        return tuple(math.ceil(depth * count - 1e-9) for count in counts)

    name = NAMES[kind]
    if kind in (RESNET, BOTTLENECK):
        return Backbone(name, (wide(resnet.STEM_WIDTH), wide(*resnet.WIDTHS)), deep(table))
    if kind == VGG:
        counts, sizes = zip(*VGG_STAGES, strict=True)
        units = () if pooled else wide(*VGG_UNITS)
        return Backbone(name, (wide(*sizes),), deep(counts), units)
    if kind == CNN_M:
        units = () if pooled else wide(*CNN_M_UNITS)
        return Backbone(name, (wide(*CNN_M_WIDTHS),), deep((3,)), units)
    blocks = [block for stage in BNI_BLOCKS for block in _repeated(stage, depth)]
    stages = tuple(len(_repeated(stage, depth)) for stage in BNI_BLOCKS)
    return Backbone(name, (wide(*BNI_STEM), *(wide(*block) for block in blocks)), stages)


def table() -> tuple[Factor, ...]:
    """The factors that choose a backbone."""
    kinds = ", ".join(f"{n} {name}" for n, name in enumerate(NAMES))
    return (
        Factor("backbone", kinds, 0, len(NAMES) - 1, integer=True),
        Factor("pooled", "1: BatchNorm, and space averaged at the end", 0, 1, integer=True),
        *resnet.depth_table(),
    )


def of(genotype: Genotype, *, width: float) -> Backbone:
    """The backbone that the factors of `table` and gamma_d say, at a width factor."""
    return backbone(
        int(genotype["backbone"]),
        width=width,
        depth=genotype["gamma_d"],
        pooled=bool(genotype["pooled"]),
        table=[int(genotype[f"res{n}"]) for n in (2, 3, 4, 5)],
    )


def from_json(data: Mapping[str, Any]) -> Backbone:
    """The backbone that a plan's JSON holds."""
    return Backbone(
        name=data["name"],
        widths=tuple(tuple(each) for each in data["widths"]),
        depths=tuple(data["depths"]),
        units=tuple(data["units"]),
    )


def _repeated(stage: Sequence[tuple[int, ...]], depth: float) -> list[tuple[int, ...]]:
    """The first ceil(depth x count) blocks of a stage, more of its last; the halving one stays."""
    halving = [block for block in stage if not block[0]]
    blocks = [block for block in stage if block[0]]
    count = math.ceil(depth * len(blocks) - 1e-9)
    return [*(blocks[min(n, len(blocks) - 1)] for n in range(count)), *halving]


def network(
    plan: Backbone, *, num_classes: int, dropout: float, side: int, consensus: Rule = "average"
) -> Seq:
    """The stages from a clip of frames to class scores; `side` is the input's in pixels."""
    stages = features(plan)
    parts: list[Named] = []
    if plan.units:
        parts = connected(plan.units, dropout, kernel=_left(stages, side))
    else:
        parts = [("pool", FrameMean()), ("dropout", Dropout(dropout))]
    head = Seq((*parts, ("fc", Conv(num_classes, bias=True)), ("consensus", Consensus(consensus))))
    return Seq((*stages, ("head", head)))


def features(plan: Backbone) -> tuple[Named, ...]:
    """The convolutional stages of a backbone, by name."""
    kind = NAMES.index(plan.name)
    if kind in (RESNET, BOTTLENECK):
        return tuple(_resnet(plan, bottleneck=kind == BOTTLENECK))
    if kind == VGG:
        return tuple(_vgg(plan))
    return tuple(_cnn_m(plan) if kind == CNN_M else _bn_inception(plan))


def _left(stages: tuple[Named, ...], side: int) -> int:
    """The side that the stages leave of a picture."""
    from expand3d.networks.layers.describe import Shape

    left: int = Seq(stages).trace(Shape(3, 1, side), "", []).side
    return left


def connected(units: Sequence[int], dropout: float, *, kernel: int) -> list[Named]:
    """Fully connected layers of each frame, as convolutions: the first spans all that is left."""
    parts: list[Named] = []
    for number, width in enumerate(units, start=6):
        size = kernel if number == 6 else 1
        layer = Conv(width, (1, size), padding=(0, 0), bias=True)
        parts += [
            (f"fc{number}", layer),
            (f"relu{number}", Relu()),
            (f"drop{number}", Dropout(dropout)),
        ]
    return parts


def _resnet(plan: Backbone, *, bottleneck: bool) -> list[Named]:
    (stem,), widths = plan.widths
    outs = [w * resnet.EXPANSION for w in widths] if bottleneck else list(widths)

    def block(number: int, place: int, inputs: int, stride: Pair) -> Layer:
        make = resnet.bottleneck if bottleneck else resnet.basic
        return make(inputs, widths[number], outs[number], stride, resnet.spatial)

    first = seq(
        ("conv", conv_norm(stem, (1, 7), (1, 2))), ("pool", Pool("max", (1, 3), (1, 2), (0, 1)))
    )
    strides = [(1, 1), (1, 2), (1, 2), (1, 2)]
    stages = resnet.stages(stem, widths=outs, depths=plan.depths, strides=strides, block=block)
    return [("stem", first), *stages]


def _biased(out: int, kernel: int, stride: int = 1, padding: int | None = None) -> Seq:
    """A convolution with a bias and ReLU, as networks before BatchNorm have it."""
    pad = kernel // 2 if padding is None else padding
    return seq(("conv", Conv(out, (1, kernel), (1, stride), (0, pad), bias=True)), ("relu", Relu()))


def _unit(
    plan: Backbone, out: int, kernel: int, stride: int = 1, padding: int | None = None
) -> Seq:
    """A convolution as printed, or with BatchNorm where space is averaged in the end."""
    if plan.units:
        return _biased(out, kernel, stride, padding)
    pad = kernel // 2 if padding is None else padding
    return conv_norm(out, (1, kernel), (1, stride), padding=(0, pad))


def _vgg(plan: Backbone) -> list[Named]:
    (widths,) = plan.widths
    return [
        (
            f"conv{number}",
            seq(
                *(_unit(plan, width, 3) for _ in range(count)),
                ("pool", Pool("max", (1, 2), (1, 2))),
            ),
        )
        for number, (count, width) in enumerate(zip(plan.depths, widths, strict=True), start=1)
    ]


def _cnn_m(plan: Backbone) -> list[Named]:
    (widths,) = plan.widths
    pool = Pool("max", (1, 3), (1, 2))
    lrn: list[Named] = [("norm", FrameNorm())] if plan.units else []
    later = [widths[min(2 + n, 4)] for n in range(plan.depths[0])]
    return [
        ("conv1", seq(_unit(plan, widths[0], 7, 2, 0), *lrn, ("pool", pool))),
        ("conv2", seq(_unit(plan, widths[1], 5, 2, 1), *lrn, ("pool", pool))),
        (
            "conv3",
            seq(
                *(_unit(plan, width, 3) for width in later),
                ("pool", Pool("max", (1, 3), (1, 2), ceil=True)),
            ),
        ),
    ]


def _bn_inception(plan: Backbone) -> list[Named]:
    (stem, reduce, conv2), *blocks = plan.widths
    pool = HALVING
    parts: list[Named] = [
        ("conv1", seq(("out", _bni_conv(stem, 7, 2)), ("pool", pool))),
        (
            "conv2",
            seq(("reduce", _bni_conv(reduce)), ("out", _bni_conv(conv2, 3)), ("pool", pool)),
        ),
    ]
    left = iter(blocks)
    for number, count in enumerate(plan.depths, start=3):
        stage = [next(left) for _ in range(count)]
        last = number == 2 + len(plan.depths)
        parts.append(
            (
                f"inception{number}",
                seq(
                    *(
                        _bni_block(block, maximum=last and place == count - 1)
                        for place, block in enumerate(stage)
                    )
                ),
            )
        )
    return parts


def _bni_conv(out: int, kernel: int = 1, stride: int = 1) -> Seq:
    """A convolution with bias, BatchNorm and ReLU: TSN's prototxt keeps the bias."""
    return seq(
        ("conv", Conv(out, (1, kernel), (1, stride), bias=True)), ("bn", Norm()), ("relu", Relu())
    )


def _bni_block(widths: Sequence[int], *, maximum: bool) -> Concat:
    own, reduce1, three, reduce2, double, pooled = widths
    stride = 1 if own else 2
    branches: list[Named] = [("b0", _bni_conv(own))] if own else []
    branches += [
        ("b1", seq(("reduce", _bni_conv(reduce1)), ("out", _bni_conv(three, 3, stride)))),
        (
            "b2",
            seq(
                ("reduce", _bni_conv(reduce2)),
                ("first", _bni_conv(double, 3)),
                ("out", _bni_conv(double, 3, stride)),
            ),
        ),
    ]
    if own:
        pool = Pool("max" if maximum else "avg", (1, 3), (1, 1), (0, 1))
        branches.append(("b3", seq(("pool", pool), ("out", _bni_conv(pooled)))))
    else:
        branches.append(("b3", HALVING))
    return Concat(tuple(branches))
