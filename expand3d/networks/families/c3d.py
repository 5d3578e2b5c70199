"""C3D: eight 3x3x3 convolutions with pooling between them (arXiv 1412.0767).

Three networks carry the name and 38.5 GMACs. The original has no BatchNorm, a max-pool of padding
(0, 1, 1) at the end and two fully connected layers that hold two thirds of its numbers. VMZ's has
BatchNorm behind its convolutions and pads no pool. I3D's "3D-ConvNet" (arXiv 1705.07750) has it
behind the fully connected layers too, halves the frames from the first pool on and pads as
TensorFlow does, at half the MACs. Fully connected layers fix the clip's size; the form
that expands averages over whatever is left instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from expand3d.core.genotype import Genotype, Plan
from expand3d.networks import factors as gammas
from expand3d.networks.factors import round_width
from expand3d.networks.family import Factor, Preset, Published
from expand3d.networks.layers.describe import (
    Conv,
    Dropout,
    Flatten,
    Layer,
    Linear,
    Mean,
    Named,
    Norm,
    Padding,
    Pool,
    Relu,
    Seq,
    conv_norm,
    seq,
)
from expand3d.networks.layers.family import LayeredFamily
from expand3d.networks.weights.mmaction2_names import C3D_SOURCE

#: Widths and numbers of convolutions between the pools, at gamma_w = gamma_d = 1.
WIDTHS = (64, 128, 256, 512, 512)
DEPTHS = (1, 1, 2, 2, 2)
#: Values of the factor pool_padding.
VALID, LAST_PADDED, SAME = 0, 1, 2


@dataclass(frozen=True)
class C3DPlan(Plan):
    """C3D's integers; tuples run over the stages conv1 to conv5."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    #: Frames that each convolution spans.
    kernel: int
    conv_norm: bool
    fc_norm: bool
    #: Frames that the first pool makes one of.
    first_pool: int
    pool_padding: int
    #: Width of the fully connected layers; None averages over time and space.
    fc: int | None


class C3D(LayeredFamily):
    """3x3x3 everywhere; time and space halved together by the pools from the second on."""

    name = "c3d"
    axes = ("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_w")
    plan_type = C3DPlan
    factors: ClassVar[Mapping[str, Factor]] = gammas.table(
        gammas.frame_stride(),
        gammas.frames(),
        gammas.crop(),
        gammas.depth("convolutions of a stage = ceil(gamma_d x 1, 1, 2, 2, 2)"),
        gammas.width("width of every stage; 1 is 64 channels in the first"),
        Factor("reach", "frames before and after that a kernel sees; 1: 3x3x3", 0, 4, integer=True),
        Factor("batch_norm", "0: none, 1: behind convolutions, 2: all layers", 0, 2, integer=True),
        Factor("first_pool", "frames that the first pool makes one of", 1, 2, integer=True),
        Factor("pool_padding", "0: none, 1: the last pool, 2: TensorFlow's", 0, 2, integer=True),
        Factor("fc_head", "1: fully connected head, 0: global pooling", 0, 1, integer=True),
        Factor("fc", "width of the fully connected layers", 8, 16384, integer=True),
    )
    sources = (C3D_SOURCE,)
    base = Genotype(
        "c3d",
        {
            **dict.fromkeys(("gamma_tau", "gamma_t", "gamma_s"), 1.0),
            **{"gamma_d": 0.5, "gamma_w": 1 / 8},
            **{"reach": 1, "batch_norm": 1, "first_pool": 1, "pool_padding": SAME},
            **{"fc_head": 0, "fc": 4096},
        },
    )

    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        depth, has_fc = genotype["gamma_d"], bool(genotype["fc_head"])
        return {
            "widths": tuple(round_width(width, genotype["gamma_w"]) for width in WIDTHS),
            "depths": tuple(math.ceil(depth * convs - 1e-9) for convs in DEPTHS),
            "kernel": 2 * int(genotype["reach"]) + 1,
            "conv_norm": genotype["batch_norm"] >= 1,
            "fc_norm": genotype["batch_norm"] >= 2 and has_fc,
            "first_pool": int(genotype["first_pool"]),
            "pool_padding": int(genotype["pool_padding"]),
            "fc": int(genotype["fc"]) if has_fc else None,
        }

    def layers(self, plan: Any, *, dropout: float = 0.5) -> Seq:
        assert isinstance(plan, C3DPlan)
        stages: list[Named] = []
        for number, (width, depth) in enumerate(zip(plan.widths, plan.depths, strict=True), 1):
            convs = [_conv(plan, width) for _ in range(depth)]
            stages.append((f"conv{number}", seq(*convs)))
            stages.append((f"pool{number}", _pool(plan, number)))
        return Seq((*stages, ("head", _head(plan, dropout))))

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


def _conv(plan: C3DPlan, width: int) -> Layer:
    kernel = (plan.kernel, 3)
    if plan.conv_norm:
        return conv_norm(width, kernel)
    return seq(("conv", Conv(width, kernel, bias=True)), ("relu", Relu()))


def _pool(plan: C3DPlan, number: int) -> Pool:
    window = (plan.first_pool if number == 1 else 2, 2)
    padding: Padding = "same" if plan.pool_padding == SAME else (0, 0)
    if plan.pool_padding == LAST_PADDED and number == len(plan.widths):
        padding = (0, 1)
    return Pool("max", window, window, padding)


def _head(plan: C3DPlan, dropout: float) -> Seq:
    classifier = ("fc", Linear(plan.num_classes))
    if plan.fc is None:
        return seq(("pool", Mean()), ("dropout", Dropout(dropout)), classifier)
    hidden = [(name, _hidden(plan, plan.fc, dropout)) for name in ("fc6", "fc7")]
    return seq(("flatten", Flatten()), *hidden, classifier)


def _hidden(plan: C3DPlan, width: int, dropout: float) -> Seq:
    """A fully connected layer with what follows it."""
    norm: list[Named] = [("bn", Norm(flat=True))] if plan.fc_norm else []
    linear = Linear(width, bias=not plan.fc_norm)
    return seq(("linear", linear), *norm, ("relu", Relu()), ("dropout", Dropout(dropout)))


VMZ = "VMZ model table"
MMACTION = "mmaction2 model table"


def _preset(
    name: str, num_classes: int, stride: int, *figures: Published, **factors: float
) -> Preset:
    """A network of 16 frames of 112 x 112, at full width."""
    genotype = C3D.base.replace(
        gamma_t=16,
        gamma_tau=stride,
        **{"gamma_d": 1.0, "gamma_w": 1.0, "batch_norm": 0, "fc_head": 1, **factors},
    )
    return Preset(name, genotype, num_classes, figures)


def _macs(source: str) -> Published:
    return Published("macs", "38.5 G", "conv + linear multiply-adds, 1 view", source, "macs")


def _params(value: str, source: str) -> Published:
    return Published("params", value, "all learned numbers", source, "params")


def _top1(value: str, convention: str, source: str) -> Published:
    return Published("top1", value, f"Kinetics-400, {convention}", source)


_ORIGINAL = {"pool_padding": LAST_PADDED}
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset("c3d", 400, 1, _macs(MMACTION), **_ORIGINAL),
        _preset("c3d-ucf101", 101, 1, _macs(MMACTION), _params("78.4 M", MMACTION), **_ORIGINAL),
        _preset("c3d-sports1m", 487, 1, **_ORIGINAL),
        _preset(
            "c3d-vmz",
            400,
            1,
            _macs(VMZ),
            Published(
                "params", "64.9 M", "without BatchNorm, cut to a digit", VMZ, "params_without_bn"
            ),
            _top1("63.4", "10 clips, centre crop, from scratch", VMZ),
            batch_norm=1,
            pool_padding=VALID,
        ),
        _preset(
            "c3d-i3d",
            400,
            1,
            Published(
                "params",
                "79 M",
                "all learned numbers, cut to a million",
                "arXiv 1705.07750, Table 1",
                "params",
            ),
            _top1("56.1", "from scratch; quoted, not checked in print", "arXiv 1705.07750"),
            batch_norm=2,
            first_pool=2,
            pool_padding=SAME,
        ),
        _preset("c3d-gap", 400, 1, batch_norm=1, fc_head=0, **_ORIGINAL),
    )
}

FAMILY = C3D()
