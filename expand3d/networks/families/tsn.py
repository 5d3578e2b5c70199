"""TSN, temporal segment networks (arXiv 1608.00859): one picture of each of K parts of a video.

The scores of the pictures are averaged before the softmax. Streams of RGB, flow and others are
trained apart and averaged with a weight of 1.5 for flow.
"""

from __future__ import annotations

from collections.abc import Mapping

from expand3d.core.genotype import Genotype
from expand3d.networks.factors import BASE_CROP
from expand3d.networks.families import backbones
from expand3d.networks.families.segments import (
    MOTION_WEIGHT,
    SegmentFamily,
    depth_factors,
    streams,
)
from expand3d.networks.family import Preset, Published
from expand3d.networks.weights.mmaction2_names import TSN_SOURCE

MMACTION2 = "mmaction2 configs/recognition/tsn/README.md"
PAPER = "TSN paper (arXiv 1608.00859), Table 3"


class Tsn(SegmentFamily):
    """2D networks over K segments of a clip."""

    name = "tsn"
    axes = ("segments", "streams", "stack", "gamma_s", "gamma_d", "gamma_w", "motion_width")
    chain = (("rgb",), ("rgb", "flow"), ("rgb", "flow", "warped-flow"))
    base = Genotype(
        "tsn",
        {
            **{"segments": 1, "stack": 1, "gamma_s": 1, "gamma_d": 1, "gamma_w": 1 / 4},
            **{"motion_width": 1, "motion_weight": MOTION_WEIGHT, "consensus": 0, "pooled": 1},
            **{"streams": streams("rgb"), **depth_factors(10)},
        },
    )

    sources = (TSN_SOURCE,)

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


def _macs(
    value: str, source: str, what: str = "conv + linear multiply-adds, 1 picture"
) -> Published:
    return Published("macs", value, what, source, "macs")


def _preset(name: str, classes: int, *published: Published, **factors: float) -> Preset:
    genotype = Tsn.base.replace(**{"gamma_s": 224 / BASE_CROP, "gamma_w": 1, **factors})
    return Preset(name, genotype, classes, published)


def _top1(value: str, source: str, what: str) -> Published:
    return Published("top1", value, what, source)


_UCF = "UCF101 split 1, 25 segments x 10 crops, pretrained on ImageNet"
_K400 = "Kinetics-400, 25 segments x 10 crops, pretrained on ImageNet"
_BNI = {"backbone": backbones.BN_INCEPTION, "segments": 3}
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset("tsn-bninception-rgb", 101, **_BNI),
        _preset("tsn-bninception-flow", 101, streams=streams("flow"), stack=5, **_BNI),
        _preset(
            "tsn-bninception",
            101,
            _top1("94.0", PAPER, _UCF),
            streams=streams("rgb", "flow"),
            stack=5,
            **_BNI,
        ),
        _preset(
            "tsn-r50-1x1x3", 400, _top1("72.83", MMACTION2, _K400), segments=3, **depth_factors(50)
        ),
        _preset(
            "tsn-r50-1x1x8", 400, _top1("74.12", MMACTION2, _K400), segments=8, **depth_factors(50)
        ),
        _preset(
            "tsn-r101-1x1x8",
            400,
            _top1("75.89", MMACTION2, _K400),
            segments=8,
            **depth_factors(101),
        ),
        _preset("tsn-r18-1x1x8", 400, segments=8, **depth_factors(18)),
        # Nobody's, but all that TSN is, at the cost of a base.
        _preset(
            "tsn-small",
            400,
            streams=streams("rgb", "flow"),
            stack=2,
            **{"segments": 3, "gamma_s": 1, "gamma_w": 1 / 8},
        ),
    )
}

FAMILY = Tsn()
