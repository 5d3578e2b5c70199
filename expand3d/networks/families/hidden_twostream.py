"""Hidden two-stream networks (arXiv 1704.00389): one network finds flow, another reads it.

MotionNet reads L + 1 frames side by side and puts out L fields of flow, which a 2D network of a
two-stream network's kind classifies. It is pretrained without labels (`expand3d pretrain
motionnet`), then both are trained end to end. So no flow is computed beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from expand3d.core.genotype import Genotype, Plan
from expand3d.core.inputs import Input
from expand3d.networks import factors as gammas
from expand3d.networks.factors import round_width
from expand3d.networks.families import backbones
from expand3d.networks.families.backbones import Backbone
from expand3d.networks.families.segments import depth_factors
from expand3d.networks.family import Factor, Preset, Published
from expand3d.networks.layers.describe import Seq
from expand3d.networks.layers.family import LayeredFamily, require_classes
from expand3d.networks.layers.motion import MotionNet, MotionPlan

#: The value of the factor `motion`: MotionNet as in the authors' prototxt, and TinyMotionNet.
TINY, FULL = 0, 1
WIDTHS = ((64, 128, 256, 128), (64, 128, 256, 512, 512, 1024))
KERNELS = ((7, 5, 3, 3), (3, 3, 3, 3, 3, 3))
DECODERS = ((128, 64), (512, 256, 128, 64))


@dataclass(frozen=True)
class HiddenPlan(MotionPlan):
    """The integers; `frames` is the number of snippets, each of `pairs` + 1 frames side by side."""

    pairs: int
    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    double: bool
    decoder: tuple[int, ...]
    network: Backbone

    @property
    def inputs(self) -> tuple[Input, ...]:
        return (Input(1, 1, self.crop, stack=self.pairs + 1, segments=self.frames),)

    @property
    def motion(self) -> MotionNet:
        """The network that finds flow."""
        return MotionNet(self.pairs, self.widths, self.kernels, self.double, self.decoder)


class HiddenTwoStream(LayeredFamily):
    """MotionNet and a temporal network stacked on it."""

    name = "hidden_twostream"
    axes = ("segments", "pairs", "gamma_s", "gamma_d", "gamma_w", "motion_width")
    plan_type = HiddenPlan
    factors: ClassVar[Mapping[str, Factor]] = gammas.table(
        Factor("segments", "parts of the clip, each gives a snippet", 1, 64, integer=True, step=1),
        Factor("pairs", "fields of flow of a snippet, L", 1, 32, integer=True, step=1),
        gammas.crop(),
        gammas.depth("blocks or convolutions of a stage / what the backbone has, rounded up"),
        gammas.width("width of every layer of the backbone / what the backbone has"),
        Factor("motion_width", "width of MotionNet / print", 1 / 16, 4, step=0.01, log=True),
        Factor("motion", "0 TinyMotionNet, 1 MotionNet", 0, 1, integer=True),
        *backbones.table(),
    )
    base = Genotype(
        "hidden_twostream",
        {
            **{"segments": 1, "pairs": 2, "gamma_s": 80 / 112, "gamma_d": 1, "gamma_w": 1 / 8},
            **{"motion_width": 1 / 8, "motion": TINY, "pooled": 1, **depth_factors(10)},
        },
    )

    def resolve(self, genotype: Genotype, *, num_classes: int = 400) -> Plan:
        self.check(genotype)
        require_classes(num_classes)
        kind, width = int(genotype["motion"]), genotype["motion_width"]
        plan = HiddenPlan(
            family=self.name,
            frames=int(genotype["segments"]),
            stride=1,
            crop=gammas.crop_side(genotype),
            num_classes=num_classes,
            pairs=int(genotype["pairs"]),
            widths=tuple(round_width(size, width) for size in WIDTHS[kind]),
            kernels=KERNELS[kind],
            double=kind == FULL,
            decoder=tuple(round_width(size, width) for size in DECODERS[kind]),
            network=backbones.of(genotype, width=genotype["gamma_w"]),
        )
        self._refuse_too_small(plan)
        return plan

    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        raise AssertionError("resolve says all of them")

    def plan_from_json(self, data: Mapping[str, Any]) -> Plan:
        listed = {key: tuple(data[key]) for key in ("widths", "kernels", "decoder")}
        return HiddenPlan(**{**data, **listed, "network": backbones.from_json(data["network"])})

    def layers(self, plan: Any, *, dropout: float = 0.5) -> Seq:
        assert isinstance(plan, HiddenPlan)
        temporal = backbones.network(
            plan.network, num_classes=plan.num_classes, dropout=dropout, side=plan.crop
        )
        return Seq((("motion", plan.motion), *temporal.parts))

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


PAPER = "hidden two-stream paper (arXiv 1704.00389)"


def _preset(name: str, *published: Published, **factors: float) -> Preset:
    genotype = HiddenTwoStream.base.replace(
        **{
            **{"gamma_s": 224 / gammas.BASE_CROP, "gamma_w": 1, "motion_width": 1, "pairs": 10},
            **{"motion": FULL, "backbone": backbones.VGG, "pooled": 0, **factors},
        }
    )
    return Preset(name, genotype, 101, published)


def _top1(value: str) -> Published:
    return Published("top1", value, "UCF101, 3 splits, flow from MotionNet alone", PAPER)


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset("hidden-motionnet-vgg16", _top1("89.8")),
        _preset(
            "hidden-motionnet-tsn",
            _top1("92.5"),
            backbone=backbones.BN_INCEPTION,
            segments=3,
        ),
        _preset("hidden-tiny-vgg16", motion=TINY),
        _preset("hidden-tiny-r18", motion=TINY, pooled=1, **depth_factors(18)),
    )
}

FAMILY = HiddenTwoStream()
