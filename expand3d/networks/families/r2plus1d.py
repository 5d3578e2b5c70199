"""R(2+1)D: every 3x3x3 convolution as a 1x3x3 and a 3x1x1 with BatchNorm and ReLU between them.

Tran et al. (arXiv 1711.11248, section 3.5) choose the channels in between, M, so that the pair has
as many parameters as the 3x3x3 convolution. The paper and VMZ choose it for each convolution;
torchvision takes the M of a block's first convolution for both, which is less where a stage begins.
mmaction2 applies the rule to the stem as well (83 channels, not 45) and max-pools behind it.
pytorchvideo's R(2+1)D-50 is another network: 3x1x1 before 1x3x3, M the block's inner width, an
undivided 1x7x7 stem, space halved in res2 and time from res4 on.
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
from expand3d.networks.layers.describe import Layer, Named, Pair, Pool, Seq, conv_norm, seq
from expand3d.networks.layers.family import LayeredFamily
from expand3d.networks.weights.pytorchvideo_names import TIME_FIRST, resnet_source
from expand3d.networks.weights.resnet_names import torchvision

#: r2plus1d_18: places in the nn.Sequential of a pair of convolutions.
TORCHVISION = torchvision(
    {
        "0": "conv.spatial.conv",
        "1": "conv.spatial.bn",
        "3": "conv.temporal.conv",
        "4": "conv.temporal.bn",
    },
    {"0.0": "spatial.conv", "0.1": "spatial.bn", "0.3": "temporal.conv", "1": "temporal.bn"},
)
#: r2plus1d_r50.
PYTORCHVIDEO = resnet_source(TIME_FIRST)


@dataclass(frozen=True)
class R2Plus1DPlan(Plan):
    """R(2+1)D's integers; tuples run over the stages res2 to res5."""

    stem: int
    #: Channels between the stem's two convolutions; 0 where it is one of 1x7x7.
    stem_mid: int
    stem_pool: bool
    widths: tuple[int, ...]
    inners: tuple[int, ...]
    depths: tuple[int, ...]
    #: Channels between the two halves of each convolution: in the first block, in the others.
    mids: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    strides: tuple[tuple[int, int], ...]
    bottleneck: bool
    time_first: bool


class R2Plus1D(LayeredFamily):
    """1x3x3 and 3x1x1 in place of 3x3x3, time and space halved together from res3 on."""

    name = "r2plus1d"
    axes = ("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_w", "gamma_b")
    plan_type = R2Plus1DPlan
    factors: ClassVar[Mapping[str, Factor]] = gammas.table(
        gammas.frame_stride(),
        gammas.frames(),
        gammas.crop(),
        gammas.depth("blocks of a stage = ceil(gamma_d x res2, res3, res4, res5)"),
        gammas.width("width of every stage; 1 is 64 channels in the stem"),
        gammas.bottleneck("channels between 1x3x3 and 3x1x1 / those that match 3x3x3's parameters"),
        *resnet.depth_table(),
        Factor("bottleneck", "1: bottleneck blocks, 0: basic ones", 0, 1, integer=True),
        Factor("mid_per_conv", "1: matched for each convolution, 0: once a block", 0, 1, True),
        Factor("time_first", "1: 3x1x1 before 1x3x3", 0, 1, integer=True),
        Factor("stem_mid", "channels within the stem at gamma_w = 1; 0: one 1x7x7", 0, 512, True),
        Factor("stem_pool", "1: max-pool over space behind the stem", 0, 1, integer=True),
        Factor("res2_stride", "stride over space of res2", 1, 2, integer=True),
        Factor("halves_time", "first stage that halves time; 6 none", 2, 6, integer=True),
    )
    base = Genotype(
        "r2plus1d",
        {
            **dict.fromkeys(("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_b"), 1.0),
            "gamma_w": 1 / 8,
            **dict.fromkeys(("res2", "res3", "res4", "res5"), 1),
            **{"bottleneck": 0, "mid_per_conv": 1, "time_first": 0},
            **{"stem_mid": 45, "stem_pool": 0, "res2_stride": 1, "halves_time": 3},
        },
    )
    sources = (TORCHVISION, PYTORCHVIDEO)

    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        narrow = resnet.narrow_widths(genotype)
        bottleneck = bool(genotype["bottleneck"])
        stem = round_width(resnet.STEM_WIDTH, genotype["gamma_w"])
        widths = tuple(w * (resnet.EXPANSION if bottleneck else 1) for w in narrow)
        return {
            "stem": stem,
            "stem_mid": _scaled(int(genotype["stem_mid"]), genotype["gamma_w"]),
            "stem_pool": bool(genotype["stem_pool"]),
            "widths": widths,
            "inners": narrow,
            "depths": resnet.depths(genotype),
            "mids": tuple(
                (_mids(before, inner, genotype), _mids(width, inner, genotype))
                for before, width, inner in zip((stem, *widths), widths, narrow, strict=False)
            ),
            "strides": tuple(
                (
                    2 if n >= genotype["halves_time"] else 1,
                    int(genotype["res2_stride"]) if n == 2 else 2,
                )
                for n in (2, 3, 4, 5)
            ),
            "bottleneck": bottleneck,
            "time_first": bool(genotype["time_first"]),
        }

    def layers(self, plan: Any, *, dropout: float = 0.5) -> Seq:
        assert isinstance(plan, R2Plus1DPlan)

        def block(number: int, place: int, inputs: int, stride: Pair) -> Layer:
            first, *rest = (
                _Split(mid, plan.time_first) for mid in plan.mids[number][min(place, 1)]
            )
            inner, width = plan.inners[number], plan.widths[number]
            if plan.bottleneck:
                return resnet.bottleneck(inputs, inner, width, stride, first)
            return resnet.basic(inputs, inner, width, stride, first, second=rest[0])

        stages = resnet.stages(
            plan.stem, widths=plan.widths, depths=plan.depths, strides=plan.strides, block=block
        )
        head = resnet.head(plan.num_classes, dropout)
        return Seq((("stem", _stem(plan)), *stages, ("head", head)))

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


def matched(inputs: int, out: int) -> int:
    """The channels with which 1x3x3 and 3x1x1 have the parameters of 3x3x3 (section 3.5)."""
    return 27 * inputs * out // (9 * inputs + 3 * out)


def _scaled(channels: int, gamma: float) -> int:
    """`channels` x `gamma` rounded down, as the rule itself does, but at least one of some."""
    return max(min(1, channels), int(channels * gamma + 1e-9))


def _mids(inputs: int, inner: int, genotype: Genotype) -> tuple[int, ...]:
    """Channels between the halves of each convolution of one block with `inputs` channels."""
    once, each = matched(inputs, inner), matched(inner, inner)
    if not genotype["mid_per_conv"]:
        each = once
    mids = (each,) if genotype["bottleneck"] else (once, each)
    return tuple(_scaled(mid, genotype["gamma_b"]) for mid in mids)


@dataclass(frozen=True)
class _Split:
    """Makes a convolution in two halves with `mid` channels in between."""

    mid: int
    time_first: bool

    def __call__(
        self, inputs: int, out: int, stride: Pair, *, relu: bool = True, zero: bool = False
    ) -> Layer:
        (t, s), mid = stride, self.mid
        if self.time_first:
            return seq(
                ("temporal", conv_norm(mid, (3, 1), (t, 1))),
                ("spatial", conv_norm(out, (1, 3), (1, s), relu=relu, zero=zero)),
            )
        return seq(
            ("spatial", conv_norm(mid, (1, 3), (1, s))),
            ("temporal", conv_norm(out, (3, 1), (t, 1), relu=relu, zero=zero)),
        )


def _stem(plan: R2Plus1DPlan) -> Seq:
    convolution = conv_norm(plan.stem, (1, 7), (1, 2))
    if plan.stem_mid:
        convolution = seq(
            ("spatial", conv_norm(plan.stem_mid, (1, 7), (1, 2))),
            ("temporal", conv_norm(plan.stem, (3, 1))),
        )
    parts: list[Named] = [("conv", convolution)]
    if plan.stem_pool:
        parts.append(("pool", Pool("max", (1, 3), (1, 2), (0, 1))))
    return Seq(tuple(parts))


VMZ, VMZ_ZOO = "VMZ c2/tutorials/models.md", "VMZ c2/tutorials/model_zoo.md"
META = "torchvision 0.29.2 weights meta"
SLOWFAST = "SlowFast paper, Table 2"
MMACTION2 = "mmaction2 configs/recognition/r2plus1d/README.md"
ZOO = "pytorchvideo docs/source/model_zoo.md"
ONE_VIEW = "conv + linear multiply-adds, 1 view"
WITHOUT_BN = "without BatchNorm's affine pair"
K400 = "Kinetics-400"


def _macs(value: str, source: str, crop: int | None = None) -> Published:
    where = f" at {crop} x {crop}" if crop else ""
    return Published("macs", value, ONE_VIEW + where, source, "macs", crop)


def _counted(value: str, source: str, batch_norm: str) -> Published:
    """A counter's total at the test crop of 256, whatever crop the table prints."""
    what = f"multiply-adds and BatchNorm ({batch_norm}), 1 view at 256 x 256"
    return Published("macs", value, what, source, "fvcore_flops", 256)


def _params(value: str, source: str, what: str = "all learned numbers") -> Published:
    key = "params_without_bn" if what == WITHOUT_BN else "params"
    return Published("params", value, what, source, key)


def _top1(value: str, how: str, source: str) -> Published:
    return Published("top1", value, f"{K400}, {how}", source)


def _preset(
    name: str, clip: tuple[int, int, int], depth: int, *figures: Published, **factors: float
) -> Preset:
    """A published network: frames, stride and crop, then its depth and what is special."""
    frames, stride, crop = clip
    genotype = R2Plus1D.base.replace(
        gamma_t=frames,
        gamma_tau=stride,
        gamma_s=crop / gammas.BASE_CROP,
        gamma_w=1,
        bottleneck=float(depth >= 50),
        **{**resnet.depth_factors(depth), **factors},
    )
    return Preset(name, genotype, 400, figures)


_TORCHVISION = {"mid_per_conv": 0}
_MMACTION2 = {"stem_mid": 83, "stem_pool": 1}
#: M = 27 N N / 12 N = 9/4 N inside a bottleneck block, so that 4/9 of it is N.
_PYTORCHVIDEO = {
    "gamma_b": 4 / 9,
    "time_first": 1,
    "stem_mid": 0,
    "res2_stride": 2,
    "halves_time": 4,
}
_TEN, _THIRTY = "10 clips of a video, from scratch", "10 clips x 3 crops, from scratch"
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset("r2plus1d-10", (16, 1, 112), 10),
        _preset(
            "r2plus1d-18",
            (16, 1, 112),
            18,
            _macs("41.5 G", VMZ),
            _params("33.3 M", VMZ, WITHOUT_BN),
            _top1("68.5", _TEN, VMZ),
        ),
        _preset(
            "r2plus1d-34",
            (32, 1, 112),
            34,
            _macs("152 G", SLOWFAST),
            _macs("199.0 G", VMZ_ZOO, 128),
            _params("63.6 M", VMZ, WITHOUT_BN),
            _top1("72.0", "115 views, from scratch", SLOWFAST),
            _top1("80.0", "10 clips of a video, pretrained on IG-65M", VMZ_ZOO),
        ),
        _preset("r2plus1d-50", (16, 1, 112), 50),
        _preset(
            "r2plus1d-152",
            (32, 1, 112),
            152,
            _macs("329.1 G", VMZ_ZOO, 128),
            _params("118.0 M", VMZ_ZOO, WITHOUT_BN),
            _top1("77.3", "10 clips of a video", VMZ_ZOO),
        ),
        _preset(
            "r2plus1d-18-torchvision",
            (16, 2, 112),
            18,
            _macs("40.519 G", META),
            _params("31.505 M", META),
            _top1("67.463", "5 clips of a video, from scratch", META),
            **_TORCHVISION,
        ),
        _preset("r2plus1d-34-torchvision", (32, 2, 112), 34, **_TORCHVISION),
        _preset(
            "r2plus1d-34-mmaction2-8x8",
            (8, 8, 224),
            34,
            _counted("53.1 G", MMACTION2, "2 per element"),
            _params("63.8 M", MMACTION2, "all learned numbers; its code has 63.71 M"),
            _top1("69.76", _THIRTY, MMACTION2),
            **_MMACTION2,
        ),
        _preset(
            "r2plus1d-34-mmaction2-32x2",
            (32, 2, 224),
            34,
            _counted("213 G", MMACTION2, "2 per element; four times its 53.1 is 212.4"),
            _params("63.8 M", MMACTION2, "all learned numbers; its code has 63.71 M"),
            _top1("75.46", _THIRTY, MMACTION2),
            **_MMACTION2,
        ),
        _preset(
            "r2plus1d-50-pytorchvideo",
            (16, 4, 224),
            50,
            _counted("76.45 G", ZOO, "5 per element, fvcore's price in train mode, here 2"),
            _params("28.11 M", ZOO),
            _top1("76.01", _THIRTY, ZOO),
            **_PYTORCHVIDEO,
        ),
    )
}

FAMILY = R2Plus1D()
