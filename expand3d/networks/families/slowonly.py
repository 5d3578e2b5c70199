"""2D ResNets over clips, with temporal kernels in some of their blocks: C2D, SlowOnly, I3D-R50.

A block gets its temporal kernel in its first convolution, 3x1x1 in place of 1x1x1, and keeps 1x3x3
in the middle; no stage strides over time. C2D has none, SlowOnly (the slow pathway of arXiv
1812.03982) has them in res4 and res5, the I3D of the non-local networks (arXiv 1711.07971) in every
second block from the top to the bottom and in the stem. C2D and I3D halve time by a max-pool behind
res2; mmaction2's I3D halves it in the stem and in the stem's max-pool as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from expand3d.core.genotype import Genotype, Plan
from expand3d.networks import factors as gammas
from expand3d.networks.factors import round_width
from expand3d.networks.families import resnet
from expand3d.networks.family import Factor, Limits, Preset, Published
from expand3d.networks.layers.describe import Layer, Named, Pair, Pool, Seq, conv_norm, seq
from expand3d.networks.layers.family import LayeredFamily
from expand3d.networks.weights import pytorchvideo_names as names
from expand3d.networks.weights.mmaction2_names import RESNET_SOURCE as MMACTION2_NAMES
from expand3d.networks.weights.pyslowfast_names import RESNET_SOURCE as PYSLOWFAST

TEMPORAL_KERNEL = 3


@dataclass(frozen=True)
class SlowOnlyPlan(Plan):
    """The integers of a ResNet with temporal kernels; tuples run over the stages res2 to res5."""

    stem: int
    stem_kernel: int
    #: Strides over time of the stem's convolution and of its max-pool.
    stem_strides: tuple[int, int]
    #: Whether a max-pool behind res2 halves time.
    res2_pool: bool
    widths: tuple[int, ...]
    inners: tuple[int, ...]
    #: The temporal kernel of each block of a stage.
    kernels: tuple[tuple[int, ...], ...]


class SlowOnly(LayeredFamily):
    """ResNets of bottleneck blocks, 3x1x1 or 1x1x1 in front, time kept through all stages."""

    name = "slowonly"
    axes = ("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_w", "gamma_b", "temporal")
    plan_type = SlowOnlyPlan
    factors: ClassVar[Mapping[str, Factor]] = gammas.table(
        gammas.frame_stride(),
        gammas.frames(),
        gammas.crop(),
        gammas.depth("blocks of a stage = ceil(gamma_d x res2, res3, res4, res5)"),
        gammas.width("width of every stage; 1 is 64 channels in the stem"),
        gammas.bottleneck("inner width of a block / what the paper has"),
        *resnet.depth_table(),
        Factor(
            "temporal", "stages with temporal kernels, from res5 down", 0, 4, integer=True, step=1
        ),
        *(
            Factor(
                f"pattern{n}",
                f"blocks of res{n} that have one, where its stage has: 0 none, 1 all, "
                "2 the first and every second after it, 3 the second and every second after it",
                0,
                3,
                integer=True,
            )
            for n in (2, 3, 4, 5)
        ),
        Factor("stem_kernel", "frames that the stem's kernel spans", 1, 15, integer=True),
        Factor("stem_stride", "stride over time of the stem's convolution", 1, 2, integer=True),
        Factor("pool_stride", "stride over time of the stem's max-pool", 1, 2, integer=True),
        Factor("res2_pool", "1: a max-pool behind res2 halves time", 0, 1, integer=True),
    )
    base = Genotype(
        "slowonly",
        {
            **dict.fromkeys(("gamma_tau", "gamma_t", "gamma_s", "gamma_d", "gamma_b"), 1.0),
            "gamma_w": 1 / 4,
            **dict.fromkeys(("res2", "res3", "res4", "res5"), 1),
            "temporal": 0,
            **dict.fromkeys(("pattern2", "pattern3", "pattern4", "pattern5"), 1),
            **{"stem_kernel": 1, "stem_stride": 1, "pool_stride": 1, "res2_pool": 0},
        },
    )
    #: slow_r50; c2d_r50 and i3d_r50, whose list of blocks has the pooling in third place.
    sources = (
        names.resnet_source(),
        names.resnet_source(blocks=names.POOLED),
        PYSLOWFAST,
        MMACTION2_NAMES,
    )

    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        depths = resnet.depths(genotype)
        return {
            "stem": round_width(resnet.STEM_WIDTH, genotype["gamma_w"]),
            "stem_kernel": int(genotype["stem_kernel"]),
            "stem_strides": (int(genotype["stem_stride"]), int(genotype["pool_stride"])),
            "res2_pool": bool(genotype["res2_pool"]),
            "widths": tuple(w * resnet.EXPANSION for w in resnet.narrow_widths(genotype)),
            "inners": resnet.inner_widths(genotype),
            "kernels": tuple(
                _kernels(
                    depth, int(genotype[f"pattern{n}"]) if 6 - n <= genotype["temporal"] else 0
                )
                for n, depth in enumerate(depths, start=2)
            ),
        }

    def layers(self, plan: Any, *, dropout: float = 0.5) -> Seq:
        assert isinstance(plan, SlowOnlyPlan)

        def block(number: int, place: int, inputs: int, stride: Pair) -> Layer:
            return resnet.bottleneck(
                inputs,
                plan.inners[number],
                plan.widths[number],
                stride,
                resnet.spatial,
                reduce=plan.kernels[number][place],
            )

        res2, *later = resnet.stages(
            plan.stem,
            widths=plan.widths,
            depths=[len(kernels) for kernels in plan.kernels],
            strides=[(1, 1), (1, 2), (1, 2), (1, 2)],
            block=block,
        )
        pool: list[Named] = [("pool2", Pool("max", (2, 1), (2, 1)))] if plan.res2_pool else []
        head = resnet.head(plan.num_classes, dropout)
        return Seq((("stem", _stem(plan)), res2, *pool, *later, ("head", head)))

    def grow(self, axis: str, genotype: Genotype, limits: Limits) -> Iterator[Genotype]:
        """As elsewhere, but no temporal kernels for a single frame, which has none beside it."""
        if axis == "temporal" and genotype["gamma_t"] == 1:
            return iter(())
        return super().grow(axis, genotype, limits)

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


def _kernels(depth: int, pattern: int) -> tuple[int, ...]:
    """The temporal kernel of each block of a stage."""
    has_one = {
        0: lambda place: False,
        1: lambda place: True,
        2: lambda place: place % 2 == 0,
        3: lambda place: place % 2 == 1,
    }[pattern]
    return tuple(TEMPORAL_KERNEL if has_one(place) else 1 for place in range(depth))


def _stem(plan: SlowOnlyPlan) -> Seq:
    conv, pool = plan.stem_strides
    return seq(
        ("conv", conv_norm(plan.stem, (plan.stem_kernel, 7), (conv, 2))),
        ("pool", Pool("max", (1, 3), (pool, 2), (0, 1))),
    )


MMACTION2 = "mmaction2 configs/recognition/{}/README.md"
SLOWONLY, C2D, I3D = (MMACTION2.format(name) for name in ("slowonly", "c2d", "i3d"))
ZOO = "pytorchvideo docs/source/model_zoo.md"
SLOWFAST = "SlowFast paper (arXiv 1812.03982), Table 5"
#: pytorchvideo's table counts with the model in train mode.
TRAIN_MODE = "5 per element, fvcore's price in train mode, here 2"


def _counted(
    value: str, source: str, *, crop: int | None = 256, batch_norm: str = "2 per element"
) -> Published:
    """A counter's total, at the test crop of 256 where no other crop is said."""
    where = f" at {crop} x {crop}" if crop else ""
    what = f"multiply-adds and BatchNorm ({batch_norm}), 1 view{where}"
    return Published("macs", value, what, source, "fvcore_flops", crop)


def _macs(value: str, source: str, *, crop: int | None = 256) -> Published:
    """Multiply-adds, at the test crop of 256 where no other crop is said."""
    what = "conv + linear multiply-adds, 1 view" + (f" at {crop} x {crop}" if crop else "")
    return Published("macs", value, what, source, "macs", crop)


def _params(value: str, source: str) -> Published:
    return Published("params", value, "all learned numbers", source, "params")


def _top1(value: str, source: str, pretraining: str = "from scratch") -> Published:
    return Published("top1", value, f"Kinetics-400, 10 clips x 3 crops, {pretraining}", source)


def _preset(
    name: str, frames: int, stride: int, depth: int, *figures: Published, **factors: float
) -> Preset:
    """A network at 224 x 224: frames and stride, its depth, and which blocks see time."""
    genotype = SlowOnly.base.replace(
        gamma_t=frames,
        gamma_tau=stride,
        gamma_s=224 / gammas.BASE_CROP,
        gamma_w=1,
        **resnet.depth_factors(depth),
        **factors,
    )
    return Preset(name, genotype, 400, figures)


_SLOW = {"temporal": 2}
_I3D = {
    **{"temporal": 4, "pattern2": 1, "pattern3": 2, "pattern4": 2, "pattern5": 3},
    **{"stem_kernel": 5, "res2_pool": 1},
}
_IMAGENET = "pretrained on ImageNet"
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset(
            "slowonly-4x16-r50",
            *(4, 16, 50),
            _macs("27.3 G", SLOWFAST),
            _counted("27.38 G", SLOWONLY),
            _counted("27.55 G", ZOO, batch_norm=TRAIN_MODE),
            _params("32.45 M", ZOO),
            _top1("72.6", SLOWFAST),
            _top1("72.97", SLOWONLY),
            _top1("72.40", ZOO),
            **_SLOW,
        ),
        _preset(
            "slowonly-8x8-r50",
            *(8, 8, 50),
            _counted("54.75 G", SLOWONLY),
            _macs("54.52 G", ZOO),
            _params("32.45 M", ZOO),
            _top1("75.15", SLOWONLY),
            _top1("76.45", SLOWONLY, _IMAGENET),
            _top1("74.58", ZOO),
            **_SLOW,
        ),
        _preset(
            "slowonly-8x8-r101",
            *(8, 8, 101),
            _counted("112 G", SLOWONLY),
            _params("60.36 M", SLOWONLY),
            _top1("76.59", SLOWONLY),
            **_SLOW,
        ),
        _preset(
            "c2d-8x8-r50-nopool",
            *(8, 8, 50),
            _counted("33 G", C2D, crop=None),
            _params("24.3 M", C2D),
            _top1("73.44", C2D, _IMAGENET),
        ),
        _preset(
            "c2d-8x8-r101-nopool",
            *(8, 8, 101),
            _counted("63 G", C2D, crop=None),
            _params("43.3 M", C2D),
            _top1("74.97", C2D, _IMAGENET),
        ),
        _preset(
            "c2d-8x8-r50",
            *(8, 8, 50),
            _macs("19 G", C2D, crop=None),
            _counted("25.89 G", ZOO, batch_norm=TRAIN_MODE),
            _params("24.33 M", ZOO),
            _top1("73.89", C2D, _IMAGENET),
            _top1("71.46", ZOO),
            res2_pool=1,
        ),
        _preset(
            "c2d-16x4-r50",
            *(16, 4, 50),
            _counted("39 G", C2D, crop=None),
            _params("24.3 M", C2D),
            _top1("74.97", C2D, _IMAGENET),
            res2_pool=1,
        ),
        _preset(
            "i3d-8x8-r50",
            *(8, 8, 50),
            _counted("37.53 G", ZOO, batch_norm=TRAIN_MODE),
            _params("28.04 M", ZOO),
            _top1("73.27", ZOO),
            **_I3D,
        ),
        _preset(
            "i3d-32x2-r50",
            *(32, 2, 50),
            _counted("43.5 G", I3D),
            _params("28.0 M", I3D),
            _top1("73.47", I3D, _IMAGENET),
            **{**_I3D, "stem_stride": 2, "pool_stride": 2},
        ),
        _preset(
            "i3d-32x2-r50-heavy",
            *(32, 2, 50),
            _counted("166.3 G", I3D),
            _params("33.0 M", I3D),
            _top1("76.21", I3D, _IMAGENET),
            **{"temporal": 4, "stem_kernel": 5, "res2_pool": 1},
        ),
    )
}

FAMILY = SlowOnly()
