"""X3D (Feichtenhofer, CVPR 2020, arXiv 2004.04730): X2D and the six axes that expand it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from expand3d.core.errors import FactorError
from expand3d.core.genotype import Genotype, Plan
from expand3d.networks import factors as gammas
from expand3d.networks.factors import BASE_CROP, round_width
from expand3d.networks.families.x3d_plan import X3DPlan
from expand3d.networks.family import Factor, Family, Limits, Preset, Published, Source
from expand3d.networks.operators import FVCORE_BN_EVAL, Cost, Operator, batch_norm, conv, linear
from expand3d.networks.weights.x3d_sources import SOURCES

if TYPE_CHECKING:
    from torch import nn

    from expand3d.networks.remapping.channels import Channels

# Table 1 of the paper, all gammas 1.
STEM_WIDTH = 24
STAGE_WIDTHS = (24, 48, 96, 192)
STAGE_DEPTHS = (1, 2, 5, 3)
HEAD_WIDTH = 2048
#: The paper's table prints 3; every published cost and weight needs the released code's 5.
STEM_TEMPORAL_KERNEL = 5

SE_RATIO = 1 / 16


def _of_pytorchvideo(plan: Plan) -> X3DPlan:
    """The same network without BatchNorm on res2's shortcut, where the widths agree."""
    assert isinstance(plan, X3DPlan)
    return dataclasses.replace(plan, res2_shortcut_bn=plan.stem != plan.widths[0])


class X3D(Family):
    """Channel-wise bottlenecks with squeeze-excitation in every other block, no temporal stride."""

    name = "x3d"
    axes = ("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_w", "gamma_b")
    factors: ClassVar[Mapping[str, Factor]] = gammas.table(
        gammas.frame_stride(),
        gammas.frames(),
        gammas.crop(),
        gammas.depth("blocks of a stage = ceil(gamma_d x 1, 2, 5, 3)"),
        gammas.width("width of every stage; 1 is 24 channels in the stem", low=1 / 3),
        gammas.bottleneck("inner width of a block / its width", low=0.25),
    )
    base = Genotype("x3d", dict.fromkeys(factors, 1.0))
    #: PySlowFast's and pytorchvideo's names; their width factor counts units of 12 channels.
    spellings: ClassVar[Mapping[str, tuple[str, float]]] = {
        "width_factor": ("gamma_w", 2),
        "depth_factor": ("gamma_d", 1),
        "bottleneck_factor": ("gamma_b", 1),
    }
    variants: ClassVar[Mapping[str, Callable[[Plan], Plan]]] = {"pytorchvideo": _of_pytorchvideo}
    sources: ClassVar[tuple[Source, ...]] = SOURCES

    def resolve(
        self, genotype: Genotype, *, num_classes: int = 400, res2_shortcut_bn: bool = True
    ) -> X3DPlan:
        """The integers of `genotype`; every stage's width is rounded to a multiple of 8.

        Rounding each stage by itself is what reproduces X3D-XL (32, 72, 136, 280 at 1.45). One
        frame has stride 1 by definition.
        """
        self.check(genotype)
        if num_classes < 1:
            raise FactorError(f"num_classes = {num_classes} must be at least 1")
        return _resolved(self.name, genotype, num_classes, res2_shortcut_bn)

    def plan_from_json(self, data: Mapping[str, Any]) -> X3DPlan:
        lists = {key: tuple(value) for key, value in data.items() if isinstance(value, list)}
        return X3DPlan(**{**data, **lists})

    def cost(self, plan: Plan, *, crop: int | None = None) -> Cost:
        """Arithmetic cost of one clip; microseconds, no torch."""
        assert isinstance(plan, X3DPlan)
        return _X3DCost(plan, crop or plan.crop)

    def grow(self, axis: str, genotype: Genotype, limits: Limits) -> Iterator[Genotype]:
        return gammas.grow(self.factors, axis, genotype, limits)

    def shrink(self, axis: str, genotype: Genotype) -> Iterator[Genotype]:
        return gammas.shrink(self.factors, axis, genotype)

    def build(self, plan: Plan, *, dropout: float = 0.5) -> nn.Module:
        """A network from float N x 3 x T x H x W to logits N x num_classes, any T, H and W."""
        from expand3d.networks.families.x3d_net import X3DNet

        assert isinstance(plan, X3DPlan)
        return X3DNet(plan, dropout=dropout, temporal_kernel=STEM_TEMPORAL_KERNEL)

    def follow(self, old: Plan, new: Plan, into: Channels) -> None:
        from expand3d.networks.families.x3d_channels import follow

        assert isinstance(old, X3DPlan) and isinstance(new, X3DPlan)
        follow(old, new, into, stem_kernel=STEM_TEMPORAL_KERNEL)

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


@lru_cache(maxsize=8192)
def _resolved(name: str, genotype: Genotype, num_classes: int, res2_shortcut_bn: bool) -> X3DPlan:
    """`X3D.resolve` of a legal genotype, remembered: every step of a search asks again."""
    frames = int(genotype["gamma_t"])
    widths = tuple(round_width(width, genotype["gamma_w"]) for width in STAGE_WIDTHS)
    inners = tuple(int(genotype["gamma_b"] * width) for width in widths)
    return X3DPlan(
        family=name,
        frames=frames,
        stride=1 if frames == 1 else int(genotype["gamma_tau"]),
        crop=gammas.crop_side(genotype),
        num_classes=num_classes,
        stem=round_width(STEM_WIDTH, genotype["gamma_w"]),
        widths=widths,
        inners=inners,
        depths=tuple(math.ceil(genotype["gamma_d"] * depth) for depth in STAGE_DEPTHS),
        se_widths=tuple(round_width(inner, SE_RATIO) for inner in inners),
        conv5=inners[-1],
        lin5=HEAD_WIDTH,
        res2_shortcut_bn=res2_shortcut_bn,
    )


class _X3DCost(Cost):
    """X3D's cost with totals in closed form; its operators are listed when they are asked for.

    A search asks for the totals of thousands of networks, and for the layers of none.
    """

    _plan: X3DPlan
    _crop: int

    def __init__(self, plan: X3DPlan, crop: int) -> None:
        self.__dict__.update(_plan=plan, _crop=crop)  # frozen, as every cost

    @cached_property
    def operators(self) -> tuple[Operator, ...]:
        return tuple(_operators(self._plan, self._crop))

    @cached_property
    def _sums(self) -> _Sums:
        return _sums(self._plan, self._crop)

    @property
    def macs(self) -> int:
        return self._sums.macs

    @property
    def fvcore_flops(self) -> int:
        return self._sums.macs + FVCORE_BN_EVAL * self._sums.normed

    @property
    def params(self) -> int:
        return self._sums.weights + 2 * self._sums.norms

    @property
    def params_without_bn(self) -> int:
        return self._sums.weights

    @property
    def activations(self) -> int:
        return self._sums.outputs

    @property
    def largest_output(self) -> int:
        return self._sums.largest


class _Sums(NamedTuple):
    """Multiply-adds; learned numbers without BatchNorm; channels and elements that BatchNorms
    read; elements that convolutions write; elements of the largest output."""

    macs: int
    weights: int
    norms: int
    normed: int
    outputs: int
    largest: int


@lru_cache(maxsize=8192)
def _sums(plan: X3DPlan, crop: int) -> _Sums:
    """The sums over `_operators`, stage by stage."""
    side = -(-crop // 2)
    at, width = plan.frames * side * side, plan.stem
    weights = width * (3 * 9 + STEM_TEMPORAL_KERNEL)
    norms, macs, normed, outputs, largest = width, weights * at, width * at, 2 * width * at, 0
    for index, depth in enumerate(plan.depths):
        out, inner, se = plan.widths[index], plan.inners[index], plan.se_widths[index]
        before, side = at, -(-side // 2)
        at = plan.frames * side * side
        # The first block reads the stage before: its expansion, and a shortcut beside the block.
        first, later = width * inner, (depth - 1) * out * inner
        rest = width * out + depth * (27 * inner + inner * out) + later
        channels = depth * (inner + out) + (depth - 1) * inner
        shortcut_bn = out if plan.res2_shortcut_bn or index > 0 else 0
        gates = (depth + 1) // 2
        macs += first * before + rest * at + gates * 2 * inner * se
        weights += first + rest + gates * (2 * inner * se + inner + se)
        norms += inner + channels + shortcut_bn
        normed += inner * before + (channels + shortcut_bn) * at
        outputs += inner * before + (channels + out) * at + gates * (inner + se)
        largest = max(largest, width * before, inner * before, inner * at, out * at)
        width = out
    conv5, lin5 = plan.conv5, plan.lin5
    weights += width * conv5 + conv5 * lin5 + (lin5 + 1) * plan.num_classes
    macs += width * conv5 * at + conv5 * lin5 + lin5 * plan.num_classes
    largest = max(largest, conv5 * at, lin5, plan.num_classes)
    return _Sums(
        macs, weights, norms + conv5, normed + conv5 * at, outputs + conv5 * at + lin5, largest
    )


def _operators(plan: X3DPlan, crop: int) -> Iterator[Operator]:
    """Every conv, BatchNorm and linear in network order; strides of 2 take the ceiling."""
    frames = plan.frames
    side = -(-crop // 2)
    at = frames * side * side
    stem = plan.stem
    yield conv("stem.spatial", "conv1", inputs=3, outputs=stem, kernel=(1, 3, 3), positions=at)
    yield conv(
        "stem.temporal",
        "conv1",
        inputs=stem,
        outputs=stem,
        kernel=(STEM_TEMPORAL_KERNEL, 1, 1),
        positions=at,
        groups=stem,
    )
    yield batch_norm("stem.bn", "conv1", channels=stem, positions=at)
    width = stem
    for index, depth in enumerate(plan.depths):
        for block in range(depth):
            before, side = at, -(-side // 2) if block == 0 else side
            at = frames * side * side
            shortcut_bn = plan.res2_shortcut_bn or index > 0
            yield from _block(plan, index, block, width, before, at, shortcut_bn)
            width = plan.widths[index]
    yield conv(
        "head.conv5", "conv5", inputs=width, outputs=plan.conv5, kernel=(1, 1, 1), positions=at
    )
    yield batch_norm("head.bn", "conv5", channels=plan.conv5, positions=at)
    yield conv(
        "head.lin5", "fc1", inputs=plan.conv5, outputs=plan.lin5, kernel=(1, 1, 1), positions=1
    )
    yield linear("head.fc", "fc2", inputs=plan.lin5, outputs=plan.num_classes)


def _block(
    plan: X3DPlan, index: int, block: int, width: int, before: int, at: int, shortcut_bn: bool
) -> Iterator[Operator]:
    """One bottleneck block; the channel-wise conv of a stage's first block strides over space."""
    stage = f"res{index + 2}"
    name = f"{stage}.{block}"
    out, inner, se = plan.widths[index], plan.inners[index], plan.se_widths[index]
    one = (1, 1, 1)
    if block == 0:
        yield conv(f"{name}.shortcut", stage, inputs=width, outputs=out, kernel=one, positions=at)
        if shortcut_bn:
            yield batch_norm(f"{name}.shortcut_bn", stage, channels=out, positions=at)
    yield conv(f"{name}.expand", stage, inputs=width, outputs=inner, kernel=one, positions=before)
    yield batch_norm(f"{name}.expand_bn", stage, channels=inner, positions=before)
    yield conv(
        f"{name}.channelwise",
        stage,
        inputs=inner,
        outputs=inner,
        kernel=(3, 3, 3),
        positions=at,
        groups=inner,
    )
    yield batch_norm(f"{name}.channelwise_bn", stage, channels=inner, positions=at)
    if block % 2 == 0:
        squeeze, excite = f"{name}.se.squeeze", f"{name}.se.excite"
        yield conv(squeeze, stage, inputs=inner, outputs=se, kernel=one, positions=1, bias=True)
        yield conv(excite, stage, inputs=se, outputs=inner, kernel=one, positions=1, bias=True)
    yield conv(f"{name}.project", stage, inputs=inner, outputs=out, kernel=one, positions=at)
    yield batch_norm(f"{name}.project_bn", stage, channels=out, positions=at)


PAPER = "arXiv 2004.04730"
ZOO = "PySlowFast MODEL_ZOO.md"


def _preset(
    name: str,
    factors: tuple[float, ...],
    gmacs: str,
    params: str,
    top1: str | None = None,
    macs_source: str = PAPER,
) -> Preset:
    published = [
        Published(
            "macs", gmacs, "conv + linear multiply-adds, train crop, 1 view", macs_source, "macs"
        ),
        Published("params", params, "without BatchNorm's affine pair", PAPER, "params_without_bn"),
    ]
    if top1:
        published.append(Published("top1", top1, "Kinetics-400, 10 views, from scratch", PAPER))
    return Preset(
        name, Genotype("x3d", dict(zip(X3D.axes, factors, strict=True))), 400, tuple(published)
    )


_S160, _S224, _S312 = 160 / BASE_CROP, 224 / BASE_CROP, 312 / BASE_CROP
#: Factors in the order gamma_tau, t, s, d, w, b; figures as the paper prints them (Tables 1, 2, 4).
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset("x2d", (1, 1, 1, 1, 1, 1), "20.67 M", "1.63 M"),
        _preset("x3d-xs", (12, 4, _S160, 2.2, 1, 2.25), "0.60 G", "3.76 M", "68.6"),
        _preset("x3d-s", (6, 13, _S160, 2.2, 1, 2.25), "1.96 G", "3.76 M", "72.9"),
        _preset("x3d-m", (5, 16, _S224, 2.2, 1, 2.25), "4.73 G", "3.76 M", "74.6"),
        _preset("x3d-l", (5, 16, _S312, 5.0, 1, 2.25), "18.37 G", "6.08 M", "76.8"),
        _preset("x3d-xl", (5, 16, _S312, 5.0, 1.45, 2.25), "35.84 G", "11.0 M", "78.4"),
    )
}

FAMILY = X3D()
