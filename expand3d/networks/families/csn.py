"""CSN: bottleneck blocks whose 3x3x3 convolution treats every channel alone.

Tran et al. (arXiv 1904.02811): channels interact in the 1x1x1 convolutions only, space and time in
the channel-wise ones only. The interaction-reduced network (ir-CSN) just makes 3x3x3 channel-wise;
the interaction-preserved one (ip-CSN) puts a 1x1x1 convolution and a BatchNorm before it.
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
from expand3d.networks.layers.describe import Layer, Pair, Pool, Seq, conv_norm, seq
from expand3d.networks.layers.family import LayeredFamily
from expand3d.networks.weights import pytorchvideo_names as names
from expand3d.networks.weights.mmaction2_names import CSN_SOURCES as MMACTION2_NAMES


@dataclass(frozen=True)
class CSNPlan(Plan):
    """CSN's integers; tuples run over the stages res2 to res5."""

    stem: int
    widths: tuple[int, ...]
    inners: tuple[int, ...]
    depths: tuple[int, ...]
    preserved: bool


class CSN(LayeredFamily):
    """Channel-wise 3x3x3 in bottleneck blocks, time and space halved together from res3 on."""

    name = "csn"
    axes = ("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_w", "gamma_b")
    plan_type = CSNPlan
    factors: ClassVar[Mapping[str, Factor]] = gammas.table(
        gammas.frame_stride(),
        gammas.frames(),
        gammas.crop(),
        gammas.depth("blocks of a stage = ceil(gamma_d x res2, res3, res4, res5)"),
        gammas.width("width of every stage; 1 is 64 channels in the stem"),
        gammas.bottleneck("inner width of a block / what the paper has"),
        *resnet.depth_table(),
        Factor("preserved", "1: 1x1x1 before the channel-wise one (ip-CSN)", 0, 1, integer=True),
    )
    base = Genotype(
        "csn",
        {
            **dict.fromkeys(("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_b"), 1.0),
            "gamma_w": 1 / 4,
            **dict.fromkeys(("res2", "res3", "res4", "res5"), 1),
            "preserved": 0,
        },
    )
    sources = (names.resnet_source(), *MMACTION2_NAMES)

    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        return {
            "stem": round_width(resnet.STEM_WIDTH, genotype["gamma_w"]),
            "widths": tuple(w * resnet.EXPANSION for w in resnet.narrow_widths(genotype)),
            "inners": resnet.inner_widths(genotype),
            "depths": resnet.depths(genotype),
            "preserved": bool(genotype["preserved"]),
        }

    def layers(self, plan: Any, *, dropout: float = 0.5) -> Seq:
        assert isinstance(plan, CSNPlan)
        make = _preserved if plan.preserved else _channelwise

        def block(number: int, place: int, inputs: int, stride: Pair) -> Layer:
            return resnet.bottleneck(inputs, plan.inners[number], plan.widths[number], stride, make)

        stem = seq(
            ("conv", conv_norm(plan.stem, (3, 7), (1, 2))),
            ("pool", Pool("max", (1, 3), (1, 2), (0, 1))),
        )
        stages = resnet.stages(
            plan.stem,
            widths=plan.widths,
            depths=plan.depths,
            strides=[(1, 1), (2, 2), (2, 2), (2, 2)],
            block=block,
        )
        return Seq((("stem", stem), *stages, ("head", resnet.head(plan.num_classes, dropout))))

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


def _channelwise(
    inputs: int, out: int, stride: Pair, *, relu: bool = True, zero: bool = False
) -> Layer:
    """3x3x3, each channel alone."""
    return conv_norm(out, (3, 3), stride, relu=relu, zero=zero, groups=inputs)


def _preserved(
    inputs: int, out: int, stride: Pair, *, relu: bool = True, zero: bool = False
) -> Layer:
    """1x1x1 over the channels, BatchNorm without ReLU, then 3x3x3, each channel alone."""
    return seq(
        ("pointwise", conv_norm(out, relu=False)),
        ("channelwise", _channelwise(out, out, stride, relu=relu, zero=zero)),
    )


MMACTION2 = "mmaction2 configs/recognition/csn/README.md"
ZOO = "pytorchvideo docs/source/model_zoo.md"
VMZ = "VMZ model zoo"
AT_256 = "1 view at 256 x 256"


def _counted(value: str, source: str, batch_norm: str = "2 per element") -> Published:
    """A counter's total at the test crop of 256, whatever crop the table prints."""
    what = f"multiply-adds and BatchNorm ({batch_norm}), {AT_256}"
    return Published("macs", value, what, source, "fvcore_flops", 256)


def _params(value: str, source: str) -> Published:
    return Published("params", value, "all learned numbers", source, "params")


def _top1(value: str, source: str, pretraining: str = "from scratch") -> Published:
    return Published("top1", value, f"Kinetics-400, 10 clips x 3 crops, {pretraining}", source)


def _preset(name: str, depth: int, *figures: Published, preserved: int = 0) -> Preset:
    """A network of 32 frames with stride 2 at 224 x 224."""
    genotype = CSN.base.replace(
        gamma_t=32,
        gamma_tau=2,
        gamma_s=224 / gammas.BASE_CROP,
        gamma_w=1,
        preserved=preserved,
        **resnet.depth_factors(depth),
    )
    return Preset(name, genotype, 400, figures)


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset(
            "ir-csn-50",
            50,
            _counted("55.9 G", MMACTION2),
            _params("13.13 M", MMACTION2),
            _top1("79.44", MMACTION2, "pretrained on IG-65M"),
        ),
        _preset(
            "ir-csn-101",
            101,
            _counted("75.62 G", ZOO, "5 per element, fvcore's price in train mode, here 2"),
            _params("22.21 M", ZOO),
            _top1("77.0", ZOO),
        ),
        _preset(
            "ir-csn-152",
            152,
            Published("macs", "96.7 G", f"conv + linear multiply-adds, {AT_256}", VMZ, "macs", 256),
            _counted("97.63 G", MMACTION2, "2 per element; 0.01 more in its code"),
            _params("29.7 M", MMACTION2),
            _top1("76.53", MMACTION2),
            _top1("82.87", MMACTION2, "pretrained on IG-65M"),
        ),
        _preset(
            "ip-csn-152",
            152,
            _counted("109.9 G", MMACTION2),
            _params("33.02 M", MMACTION2),
            _top1("77.8", MMACTION2),
            preserved=1,
        ),
    )
}

FAMILY = CSN()
