"""Two-stream networks (arXiv 1406.2199): one frame, and stacked optical flow from that moment on.

A 2D network reads the frame, another one L consecutive fields of flow as 2 L channels; they are
trained apart and their class probabilities averaged. The paper's is CNN-M-2048 with L = 10, the
mean of each field subtracted; later ones take VGG-16 and ResNets.
"""

from __future__ import annotations

from collections.abc import Mapping

from expand3d.core.genotype import Genotype
from expand3d.networks.factors import BASE_CROP
from expand3d.networks.families import backbones
from expand3d.networks.families.segments import SegmentFamily, depth_factors, streams
from expand3d.networks.family import Preset, Published

PAPER = "two-stream paper (arXiv 1406.2199)"


class TwoStream(SegmentFamily):
    """A 2D network on a frame and one on stacked flow."""

    name = "twostream"
    axes = ("stack", "gamma_s", "gamma_d", "gamma_w", "motion_width", "segments")
    base = Genotype(
        "twostream",
        {
            **{"segments": 1, "stack": 2, "gamma_s": 1, "gamma_d": 1, "gamma_w": 3 / 16},
            **{"motion_width": 1, "motion_weight": 1, "consensus": 0, "pooled": 1},
            **{"streams": streams("rgb", "centred-flow"), **depth_factors(10)},
        },
    )

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


def _preset(name: str, kinds: tuple[str, ...], *published: Published, **factors: float) -> Preset:
    genotype = TwoStream.base.replace(
        **{
            **{"gamma_s": 224 / BASE_CROP, "gamma_w": 1, "stack": 10, "pooled": 0},
            **{"streams": streams(*kinds), **factors},
        }
    )
    return Preset(name, genotype, 101, published)


def _top1(value: str, where: str, what: str = "UCF101, 3 splits") -> Published:
    return Published("top1", value, f"{what}, 25 frames x 10 crops", f"{PAPER}, {where}")


_CNN_M = {"backbone": backbones.CNN_M}
_VGG = {"backbone": backbones.VGG}
_FLOW = ("centred-flow",)
_BOTH = ("rgb", "centred-flow")
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset("twostream-cnnm", _BOTH, _top1("86.9", "Table 4, fusion by averaging"), **_CNN_M),
        _preset("twostream-cnnm-rgb", ("rgb",), _top1("73.0", "Table 4"), **_CNN_M),
        _preset("twostream-cnnm-flow", _FLOW, _top1("83.7", "Table 4"), **_CNN_M),
        _preset(
            "twostream-cnnm-flow-l5",
            _FLOW,
            _top1("80.4", "Table 1b", "UCF101 split 1"),
            stack=5,
            **_CNN_M,
        ),
        _preset(
            "twostream-cnnm-flow-l1",
            _FLOW,
            _top1("73.9", "Table 1b", "UCF101 split 1"),
            stack=1,
            **_CNN_M,
        ),
        _preset("twostream-vgg16", _BOTH, **_VGG),
        _preset("twostream-vgg16-rgb", ("rgb",), **_VGG),
        _preset("twostream-vgg16-flow", _FLOW, **_VGG),
        _preset("twostream-r18", _BOTH, pooled=1, **depth_factors(18)),
        _preset("twostream-r50", _BOTH, pooled=1, **depth_factors(50)),
        _preset("twostream-r101", _BOTH, pooled=1, **depth_factors(101)),
    )
}

FAMILY = TwoStream()
