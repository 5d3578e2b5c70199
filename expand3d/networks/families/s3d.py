"""S3D and S3D-G: I3D with 1x3x3 and 3x1x1 convolutions in place of 3x3x3 (arXiv 1712.04851).

Three stems share the name: 1x7x7 and 7x1x1 in torchvision and in kylemin's code; a whole k x 7 x 7
in TF-slim, k = 1, 3, 5 or 7. The paper's 66.4 GMACs at 64 frames lie between (64.2 at k = 3, 71.9
with two convolutions). torchvision pads both sides alike, TF-slim as TensorFlow does: that moves
what a kernel of stride 2 sees by a pixel, so a network is kept with the padding it was trained
with. S3D-G weighs channels by gates behind conv2 and every branch, as TF-slim has them: 9.54 M
parameters, where the paper prints 11.56 M.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from expand3d.core.genotype import Genotype
from expand3d.networks import factors as gammas
from expand3d.networks.families import inception
from expand3d.networks.families.i3d import FULL
from expand3d.networks.families.inception import InceptionPlan
from expand3d.networks.family import Factor, Preset, Published, Source
from expand3d.networks.layers.describe import Seq
from expand3d.networks.layers.family import LayeredFamily

#: torchvision's s3d; a convolution, its BatchNorm and its ReLU are one nn.Sequential each, and the
#: numbers that `features` lacks here are pools.
TORCHVISION = Source(
    "torchvision",
    marker=r"features\.0\.1\.0\.weight",
    rules=inception.renamings(
        {
            r"features\.0\.0": "conv1",
            r"features\.0\.1": "conv1.temporal",
            r"features\.2": "conv2.reduce",
            r"features\.3\.0": "conv2.out",
            r"features\.3\.1": "conv2.out.temporal",
        },
        [rf"features\.{number}" for number in (5, 6, 8, 9, 10, 11, 12, 14, 15)],
        {
            "branch0": "b0.out",
            r"branch1\.0": "b1.reduce",
            r"branch1\.1\.0": "b1.out",
            r"branch1\.1\.1": "b1.out.temporal",
            r"branch2\.0": "b2.reduce",
            r"branch2\.1\.0": "b2.out",
            r"branch2\.1\.1": "b2.out.temporal",
            r"branch3\.1": "b3.out",
        },
        conv="0",
        bn="1",
        classifier=r"classifier\.1",
    ),
)


class S3D(LayeredFamily):
    """1x3x3 and 3x1x1 in the stages that are 3D, 1x3x3 in the others."""

    name = "s3d"
    axes = inception.AXES
    plan_type = InceptionPlan
    factors: ClassVar[Mapping[str, Factor]] = {
        **inception.factors(),
        **gammas.table(
            Factor("stem_separable", "1: conv1 over space, then over time", 0, 1, integer=True),
            Factor("gating", "1: gates behind conv2 and every branch", 0, 1, integer=True),
            Factor("same_padding", "1: TensorFlow's padding, 0: even", 0, 1, integer=True),
        ),
    }
    base = Genotype("s3d", {**inception.BASE, "stem_separable": 0, "gating": 0, "same_padding": 1})
    sources = (TORCHVISION,)

    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        return {
            **inception.integers(genotype),
            "stem_separable": bool(genotype["stem_separable"]),
            "separable": True,
            "gated": bool(genotype["gating"]),
            "same": bool(genotype["same_padding"]),
        }

    def layers(self, plan: Any, *, dropout: float = 0.5) -> Seq:
        assert isinstance(plan, InceptionPlan)
        return inception.network(plan, dropout=dropout)

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


def _preset(name: str, *figures: Published, **factors: float) -> Preset:
    """I3D's clip and widths, and what is special."""
    return Preset(name, S3D.base.replace(**{**FULL.factors, **factors}), published=figures)


def _params(value: str, source: str, why: str = "") -> Published:
    return Published("params", value, f"all learned numbers{why}", source, "params")


def _macs(value: str, source: str, why: str = "") -> Published:
    return Published("macs", value, f"conv + linear multiply-adds, 1 view{why}", source, "macs")


#: As later papers quote it.
_PAPER = "arXiv 1712.04851, as quoted"
_TWO: Mapping[str, float] = {"stem_separable": 1, "same_padding": 0}
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset(
            "s3d",
            _params("8.32 M", "kylemin/S3D"),
            Published("top1", "72.1", "Kinetics-400; ImageNet", "kylemin/S3D"),
            **_TWO,
        ),
        _preset(
            "s3d-torchvision",
            _params("8.320048 M", "torchvision s3d"),
            _macs("17.979 G", "torchvision s3d"),
            Published(
                "top1",
                "68.368",
                "Kinetics-400, 1 clip of 128 frames (8 times the cost), from scratch",
                "torchvision s3d",
            ),
            **_TWO,
            gamma_t=16,
            gamma_tau=2,
        ),
        _preset(
            "s3d-g",
            _macs("71.4 G", _PAPER, "; the paper's stem and gates differ from its code's"),
            _params("11.56 M", _PAPER, "; the paper's gates differ from its code's"),
            Published("top1", "74.7", "Kinetics-400; ImageNet", _PAPER),
            **_TWO,
            gating=1,
        ),
        _preset("s3d-stem1", stem_reach=0),
        _preset(
            "s3d-stem3",
            _macs("66.4 G", "arXiv 1812.03982, table 2", "; of a stem that is not published"),
            Published("top1", "69.4", "Kinetics-400; from scratch", "arXiv 1812.03982, table 2"),
            stem_reach=1,
        ),
        _preset("s3d-stem5", stem_reach=2),
        _preset("s3d-stem7"),
    )
}

FAMILY = S3D()
