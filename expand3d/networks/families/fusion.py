"""Convolutional two-stream fusion (arXiv 1604.06573): two towers that meet before their end.

A tower reads T frames, the other T stacks of flow, each picture by itself. Behind a chosen stage
their features are fused; a 3D convolution and a max-pool over all T pictures follow, and what is
left of the first tower. The tower of flow may keep a head of its own, which is averaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

from expand3d.core.genotype import Genotype, Plan
from expand3d.core.inputs import Input
from expand3d.networks import factors as gammas
from expand3d.networks.families import backbones
from expand3d.networks.families.backbones import Backbone
from expand3d.networks.family import Factor, Limits, Preset, Published
from expand3d.networks.layers.describe import (
    Conv,
    Dropout,
    Layer,
    Linear,
    Mean,
    Named,
    Pool,
    Relu,
    Seq,
)
from expand3d.networks.layers.family import LayeredFamily
from expand3d.networks.layers.streams import Fuse, Fused

Rule = Literal["sum", "max", "concat", "bilinear"]
#: The value of the factor `fusion`; the paper's "conv" is a concatenation and a convolution.
RULES: tuple[Rule, ...] = ("sum", "max", "concat", "bilinear")


@dataclass(frozen=True)
class FusionPlan(Plan):
    """The integers; `frames` pictures are `stride` frames apart, a picture of flow has `stack`.

    Fusion is behind stage `at` of the backbone, before its pool. `kernel` is the temporal and
    spatial size of the convolution behind it, none where 0.
    """

    stack: int
    network: Backbone
    at: int
    rule: Rule
    kernel: tuple[int, int]
    #: True where the tower of flow keeps a head of its own.
    second_head: bool

    @property
    def inputs(self) -> tuple[Input, ...]:
        return (
            Input(self.frames, self.stride, self.crop),
            Input(self.frames, self.stride, self.crop, kind="flow", stack=self.stack),
        )


class Fusion(LayeredFamily):
    """Two VGG towers, fused behind one of their stages."""

    name = "fusion"
    axes = ("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_w", "stack", "kernel_t")
    plan_type = FusionPlan
    factors: ClassVar[Mapping[str, Factor]] = gammas.table(
        gammas.frame_stride("frames from one picture to the next"),
        gammas.frames("pictures of each tower"),
        gammas.crop(),
        gammas.depth("convolutions of a stage = ceil(gamma_d x 2, 2, 3, 3, 3)"),
        gammas.width("width of every layer; 1 is 64 channels in the first"),
        Factor("stack", "fields of flow in one picture", 1, 32, integer=True, step=1),
        Factor("at", "stage behind which the towers are fused", 2, 5, integer=True),
        Factor(
            "fusion",
            ", ".join(f"{n} {rule}" for n, rule in enumerate(RULES)),
            0,
            len(RULES) - 1,
            integer=True,
        ),
        Factor("kernel_t", "frames of the convolution behind; 0: none", 0, 5, integer=True, step=2),
        Factor("kernel_s", "pixels of the convolution behind", 1, 5, integer=True),
        Factor("second_head", "1: the tower of flow keeps a head", 0, 1, integer=True),
        Factor("pooled", "1: BatchNorm, and space averaged at the end", 0, 1, integer=True),
    )
    base = Genotype(
        "fusion",
        {
            **{"gamma_tau": 8, "gamma_t": 2, "gamma_s": 1, "gamma_d": 0.5, "gamma_w": 1 / 16},
            **{"stack": 2, "at": 5, "fusion": 2, "kernel_t": 1, "kernel_s": 1},
            **{"second_head": 1, "pooled": 1},
        },
    )

    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        network = backbones.backbone(
            backbones.VGG,
            width=genotype["gamma_w"],
            depth=genotype["gamma_d"],
            pooled=bool(genotype["pooled"]),
            table=(),
        )
        frames = int(genotype["kernel_t"])
        return {
            "stack": int(genotype["stack"]),
            "network": network,
            "at": int(genotype["at"]),
            "rule": RULES[int(genotype["fusion"])],
            "kernel": (frames, int(genotype["kernel_s"])) if frames else (0, 0),
            "second_head": bool(genotype["second_head"]),
        }

    def plan_from_json(self, data: Mapping[str, Any]) -> Plan:
        network = backbones.from_json(data["network"])
        return FusionPlan(**{**data, "network": network, "kernel": tuple(data["kernel"])})

    def layers(self, plan: Any, *, dropout: float = 0.5) -> Fused:
        assert isinstance(plan, FusionPlan)
        stages = backbones.features(plan.network)
        tower = Seq((*stages[: plan.at - 1], _unpooled(stages[plan.at - 1])))
        rest = stages[plan.at :]
        width = plan.network.widths[0][plan.at - 1]
        parts: list[Named] = []
        if plan.rule != "bilinear":
            if plan.kernel[0]:
                parts += [("conv", Conv(width, plan.kernel, bias=True)), ("relu", Relu())]
            parts += [("pool", _pool(plan)), *rest]
        side = plan.crop // 2**5
        head = Seq((*parts, *_classifier(plan, dropout, side)))
        second = Seq((("pool", _pool(plan)), *rest, *_classifier(plan, dropout, side)))
        return Fused(
            (("rgb", tower), ("flow", tower)),
            Fuse(plan.rule),
            head,
            second if plan.second_head else None,
        )

    def grow(self, axis: str, genotype: Genotype, limits: Limits) -> Iterator[Genotype]:
        """As elsewhere, but a longer kernel needs the frames."""
        for grown in super().grow(axis, genotype, limits):
            if axis != "kernel_t" or grown["kernel_t"] <= 2 * genotype["gamma_t"]:
                yield grown

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


def _unpooled(stage: Named) -> Named:
    """A stage of VGG without the pool that ends it."""
    name, layers = stage
    return name, Seq(cast(Seq, layers).parts[:-1])


def _pool(plan: FusionPlan) -> Layer:
    """The 3D max-pool behind fusion: over all pictures, and half the size."""
    return Pool("max", (plan.frames, 2), (1, 2))


def _classifier(plan: FusionPlan, dropout: float, side: int) -> list[Named]:
    if not plan.network.units or plan.rule == "bilinear":
        fc = ("fc", Linear(plan.num_classes))
        return [("mean", Mean()), ("dropout", Dropout(dropout)), fc]
    parts = backbones.connected(plan.network.units, dropout, kernel=side)
    return [*parts, ("mean", Mean()), ("fc", Linear(plan.num_classes))]


PAPER = "fusion paper (arXiv 1604.06573)"


def _preset(name: str, *published: Published, **factors: float) -> Preset:
    genotype = Fusion.base.replace(
        **{
            **{"gamma_s": 224 / gammas.BASE_CROP, "gamma_d": 1, "gamma_w": 1, "gamma_t": 5},
            **{"stack": 10, "kernel_t": 3, "kernel_s": 3, "pooled": 0, **factors},
        }
    )
    return Preset(name, genotype, 101, published)


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset(
            "fusion-vgg16",
            Published("top1", "92.5", "UCF101, 3 splits", f"{PAPER}, Table 6"),
        ),
        _preset("fusion-vgg16-1x1", gamma_t=1, gamma_tau=1, kernel_t=1, kernel_s=1),
        _preset("fusion-vgg16-sum", gamma_t=1, gamma_tau=1, fusion=0, kernel_t=0),
        _preset("fusion-vgg16-max", gamma_t=1, gamma_tau=1, fusion=1, kernel_t=0),
    )
}

FAMILY = Fusion()
