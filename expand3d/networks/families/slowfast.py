"""SlowFast: a wide network that sees few frames beside a thin one that sees all of them.

Feichtenhofer et al., arXiv 1812.03982. Both pathways are ResNets of bottleneck blocks without any
temporal stride. The Fast one has beta times the channels and alpha times the frames, and feeds the
Slow one through convolutions of temporal stride alpha behind the stem, res2, res3 and res4.

The network reads one clip, the Fast pathway's: gamma_t and gamma_tau are its frames and stride. A
paper's "4x16" is the Slow pathway's T x tau: with alpha = 8 it is 32 fast frames of stride 2. The
Slow pathway takes ceil(T / alpha) of them, from the first to the last (`pathways.Rates`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from expand3d.core.genotype import Genotype, Plan
from expand3d.networks import factors as gammas
from expand3d.networks.factors import round_width
from expand3d.networks.families import resnet
from expand3d.networks.family import Factor, Limits, Preset, Published
from expand3d.networks.layers.describe import (
    Dropout,
    Layer,
    Linear,
    Mean,
    Named,
    Pair,
    Pool,
    Seq,
    conv_norm,
    seq,
)
from expand3d.networks.layers.family import LayeredFamily
from expand3d.networks.layers.pathways import Join, Pathways, Rates
from expand3d.networks.weights.mmaction2_names import SLOWFAST_SOURCE as MMACTION2
from expand3d.networks.weights.pyslowfast_names import SLOWFAST_SOURCE as PYSLOWFAST
from expand3d.networks.weights.pytorchvideo_names import SLOWFAST_SOURCE as PYTORCHVIDEO

#: Frames that the stems' and the blocks' kernels span; the Slow stem reads single frames.
STEM_KERNELS = (1, 5)
BLOCK_KERNEL = 3
#: Of res2 to res5: no stage strides over time.
STRIDES: tuple[Pair, ...] = ((1, 1), (1, 2), (1, 2), (1, 2))
#: More blocks than any res4 has: all of them have temporal kernels.
ALL = 640


@dataclass(frozen=True)
class SlowFastPlan(Plan):
    """SlowFast's integers; pairs are (Slow, Fast), inner tuples run over res2 to res5."""

    alpha: int
    stems: tuple[int, int]
    widths: tuple[tuple[int, ...], tuple[int, ...]]
    inners: tuple[tuple[int, ...], tuple[int, ...]]
    depths: tuple[int, ...]
    #: How many of a stage's blocks have a temporal kernel, from its first on.
    temporal: tuple[tuple[int, ...], tuple[int, ...]]
    lateral_kernel: int
    lateral_ratio: int


class SlowFast(LayeredFamily):
    """Two ResNets at two frame rates, joined from Fast to Slow."""

    name = "slowfast"
    axes = ("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_w", "gamma_b", "beta")
    plan_type = SlowFastPlan
    factors: ClassVar[Mapping[str, Factor]] = gammas.table(
        gammas.frame_stride("the Fast pathway's frame stride at the target frame rate"),
        gammas.frames("the Fast pathway's frames; the Slow one's are ceil(gamma_t / alpha)"),
        gammas.crop(),
        gammas.depth("blocks of a stage = ceil(gamma_d x res2, res3, res4, res5), in both"),
        gammas.width("width of the Slow pathway; 1 is 64 channels in the stem"),
        gammas.bottleneck("inner width of a block / what the paper has, in both"),
        Factor("alpha", "the Fast pathway's frames / the Slow one's", 1, 32, integer=True),
        Factor("beta", "the Fast pathway's channels / the Slow one's", 1 / 32, 1, step=1 / 64),
        Factor("lateral_kernel", "frames a lateral convolution spans, made odd", 1, 15, True),
        Factor("lateral_ratio", "its channels / the Fast pathway's; 0: none", 0, 8, True),
        *resnet.depth_table(),
        Factor("slow_temporal", "first Slow stage of temporal kernels: 2 to 5, 6 none", 2, 6, True),
        Factor("temporal_res4", f"first blocks of res4 to have them; {ALL}: all", 0, ALL, True),
    )
    base = Genotype(
        "slowfast",
        {
            **{"gamma_tau": 8, "gamma_t": 4, "gamma_s": 1, "gamma_d": 1, "gamma_w": 3 / 16},
            **{"gamma_b": 1, "alpha": 4, "beta": 1 / 8, "lateral_kernel": 5, "lateral_ratio": 2},
            **dict.fromkeys(("res2", "res3", "res4", "res5"), 1),
            **{"slow_temporal": 4, "temporal_res4": ALL},
        },
    )
    sources = (PYTORCHVIDEO, PYSLOWFAST, MMACTION2)

    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        stem = round_width(resnet.STEM_WIDTH, genotype["gamma_w"])
        narrow = resnet.narrow_widths(genotype)
        widths = tuple(width * resnet.EXPANSION for width in narrow)
        inners = resnet.inner_widths(genotype)
        depths = resnet.depths(genotype)
        fast = tuple(map(min, depths, (ALL, ALL, int(genotype["temporal_res4"]), ALL)))
        slow = (n if stage >= genotype["slow_temporal"] else 0 for stage, n in enumerate(fast, 2))
        beta = genotype["beta"]
        return {
            "alpha": int(genotype["alpha"]),
            "stems": (stem, _thin(stem, beta)),
            "widths": (widths, tuple(_thin(width, beta) for width in widths)),
            "inners": (inners, tuple(_thin(width, beta) for width in inners)),
            "depths": depths,
            "temporal": (tuple(slow), fast),
            "lateral_kernel": int(genotype["lateral_kernel"]) // 2 * 2 + 1,
            "lateral_ratio": int(genotype["lateral_ratio"]),
        }

    def layers(self, plan: Any, *, dropout: float = 0.5) -> Seq:
        assert isinstance(plan, SlowFastPlan)
        joining = [plan.lateral_ratio * fast for fast in (plan.stems[1], *plan.widths[1][:-1])]
        laterals = [_lateral(plan, out) for out in joining]
        slow, fast = _stages(plan, 0, joining), _stages(plan, 1, [0] * len(joining))
        stages = (
            (name, Pathways(one, other, lateral))
            for (name, one), (_, other), lateral in zip(slow, fast, [*laterals, None], strict=True)
        )
        head = seq(
            ("pool", Pathways(Mean(), Mean())),
            ("join", Join()),
            ("dropout", Dropout(dropout)),
            ("fc", Linear(plan.num_classes)),
        )
        return Seq((("rates", Rates(plan.alpha)), *stages, ("head", head)))

    def grow(self, axis: str, genotype: Genotype, limits: Limits) -> Iterator[Genotype]:
        return gammas.grow(self._whole_rates(genotype), axis, genotype, limits)

    def shrink(self, axis: str, genotype: Genotype) -> Iterator[Genotype]:
        return gammas.shrink(self._whole_rates(genotype), axis, genotype)

    def _whole_rates(self, genotype: Genotype) -> Mapping[str, Factor]:
        """The factors with frames that grow by alpha: one slow frame at a time."""
        frames = dataclasses.replace(self.factors["gamma_t"], step=genotype["alpha"])
        return {**self.factors, "gamma_t": frames}

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


def _thin(width: int, beta: float) -> int:
    """The Fast pathway's channels beside `width` of the Slow one: rounded down, as in the code."""
    return max(1, math.floor(width * beta + 1e-9))


def _stages(plan: SlowFastPlan, pathway: int, joining: Sequence[int]) -> list[Named]:
    """The stem and res2 to res5 of one pathway; `joining` channels come in with each stage's."""
    stem = seq(
        ("conv", conv_norm(plan.stems[pathway], (STEM_KERNELS[pathway], 7), (1, 2))),
        ("pool", Pool("max", (1, 3), (1, 2), (0, 1))),
    )
    widths, inners = plan.widths[pathway], plan.inners[pathway]

    def block(number: int, place: int, inputs: int, stride: Pair) -> Layer:
        return resnet.bottleneck(
            inputs if place else inputs + joining[number],
            inners[number],
            widths[number],
            stride,
            resnet.spatial,
            reduce=BLOCK_KERNEL if place < plan.temporal[pathway][number] else 1,
        )

    stages = resnet.stages(
        plan.stems[pathway], widths=widths, depths=plan.depths, strides=STRIDES, block=block
    )
    return [("stem", stem), *stages]


def _lateral(plan: SlowFastPlan, out: int) -> Layer | None:
    """From the Fast pathway to `out` channels at the Slow one's rate; None for no channels."""
    return conv_norm(out, (plan.lateral_kernel, 1), (plan.alpha, 1)) if out else None


PAPER = "arXiv 1812.03982"
ZOO = "pytorchvideo model_zoo.md"
TRAIN_CROP, TEST_CROP = 224, 256
ONE_VIEW = "conv + linear multiply-adds, test crop, 1 view"


def _macs(value: str, convention: str = ONE_VIEW) -> Published:
    return Published("macs", value, convention, PAPER, "macs", TEST_CROP)


def _params(value: str) -> Published:
    return Published("params", value, "all learned numbers", ZOO, "params")


def _top1(value: str, source: str = PAPER) -> Published:
    return Published("top1", value, "Kinetics-400, 30 views, from scratch", source)


def _preset(name: str, depth: int, *figures: Published, **factors: float) -> Preset:
    """A network of the paper: its depth, then what differs from 8x8 with a lateral kernel of 5."""
    wide = {"gamma_t": 32, "gamma_tau": 2, "gamma_s": TRAIN_CROP / gammas.BASE_CROP, "gamma_w": 1}
    genotype = SlowFast.base.replace(**{**wide, **resnet.depth_factors(depth), **factors})
    return Preset(name, genotype, 400, figures)


_CUT_OFF = f"{ONE_VIEW}, cut off"
_BN_IN_TRAINING = Published(
    "macs",
    "127.20 G",
    "fvcore in train mode (5 per BatchNorm element), classifier at 4 places, test crop, 1 view",
    ZOO,
)
#: Of the R101s, the paper's have temporal kernels in 6 blocks of res4; the released 8x8 in all 23.
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset(
            "slowfast-4x16-r50", 50, _macs("36.1 G"), _params("34.48 M"), _top1("75.6"), alpha=8
        ),
        _preset(
            "slowfast-8x8-r50",
            50,
            _macs("65.7 G"),
            _params("34.57 M"),
            _top1("77.0"),
            lateral_kernel=7,
        ),
        _preset("slowfast-8x8-r50-k5", 50),
        _preset("slowfast-8x8-r101", 101, _macs("106 G", _CUT_OFF), _top1("77.9"), temporal_res4=6),
        _preset(
            "slowfast-8x8-r101-all",
            101,
            _BN_IN_TRAINING,
            _params("62.83 M"),
            _top1("77.90", ZOO),
        ),
        _preset(
            "slowfast-16x8-r101",
            101,
            _macs("213 G"),
            _params("53.77 M"),
            _top1("78.9"),
            gamma_t=64,
            temporal_res4=6,
        ),
        #: pytorchvideo's depth 18: a bottleneck block per stage.
        _preset("slowfast-8x8-r18", 10, lateral_kernel=7),
        _preset(
            "slowfast-4x16-r50-beta16", 50, _macs("30.6 G"), _top1("75.1"), alpha=8, beta=1 / 16
        ),
        _preset(
            "slowfast-4x16-r50-no-lateral",
            50,
            _macs("34.2 G"),
            _top1("73.5"),
            alpha=8,
            lateral_ratio=0,
        ),
    )
}

FAMILY = SlowFast()
