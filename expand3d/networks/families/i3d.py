"""I3D: Inception-v1 whose kernels are inflated over time (arXiv 1705.07750), RGB.

At 64 frames of 224 the paper's network costs 111.2 GMACs; the 108 that later papers print for it
was counted on some other version. Accuracies are the authors', on Kinetics-400's test set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from expand3d.core.genotype import Genotype
from expand3d.networks import factors as gammas
from expand3d.networks.families import inception
from expand3d.networks.families.inception import InceptionPlan
from expand3d.networks.family import Factor, Preset, Published, Source
from expand3d.networks.layers.describe import Seq
from expand3d.networks.layers.family import LayeredFamily

#: pytorch-i3d (piergiaj), whose RGB and flow weights are the authors'.
PIERGIAJ = Source(
    "pytorch-i3d",
    marker=r"Conv3d_1a_7x7\.conv3d\.weight",
    rules=inception.renamings(
        {
            "Conv3d_1a_7x7": "conv1",
            "Conv3d_2b_1x1": "conv2.reduce",
            "Conv3d_2c_3x3": "conv2.out",
        },
        [f"Mixed_{place}" for place in ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")],
        {
            "b0": "b0.out",
            "b1a": "b1.reduce",
            "b1b": "b1.out",
            "b2a": "b2.reduce",
            "b2b": "b2.out",
            "b3b": "b3.out",
        },
        conv="conv3d",
        bn="bn",
        classifier=r"logits\.conv3d",
    ),
)


class I3D(LayeredFamily):
    """3x3x3 in the stages that are 3D, 1x3x3 in the others."""

    name = "i3d"
    axes = inception.AXES
    plan_type = InceptionPlan
    factors: ClassVar[Mapping[str, Factor]] = inception.factors()
    base = Genotype("i3d", inception.BASE)
    sources = (PIERGIAJ,)

    def integers(self, genotype: Genotype) -> Mapping[str, Any]:
        return {
            **inception.integers(genotype),
            "stem_separable": False,
            "separable": False,
            "gated": False,
            "same": True,
        }

    def layers(self, plan: Any, *, dropout: float = 0.5) -> Seq:
        assert isinstance(plan, InceptionPlan)
        return inception.network(plan, dropout=dropout)

    @property
    def presets(self) -> Mapping[str, Preset]:  # type: ignore[override]
        return PRESETS


#: 64 consecutive frames at 25 frames per second, 224 x 224.
FULL = I3D.base.replace(
    gamma_tau=1,
    gamma_t=64,
    gamma_s=224 / gammas.BASE_CROP,
    gamma_d=1,
    gamma_w=1,
    stages_3d=4,
    stem_reach=3,
)
_VIEWS = "Kinetics-400 test set, 1 view: the whole video"
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "i3d",
            FULL,
            published=(
                Published(
                    "macs",
                    "108 G",
                    "conv + linear multiply-adds, 1 view; the authors' code counts 111.2",
                    "arXiv 1812.03982, table 2",
                    "macs",
                ),
                Published("top1", "71.1", f"{_VIEWS}; ImageNet", "deepmind/kinetics-i3d"),
                Published("top1", "68.4", f"{_VIEWS}; from scratch", "deepmind/kinetics-i3d"),
            ),
        ),
        Preset("i2d", FULL.replace(stages_3d=0, stem_reach=0)),
        Preset("i3d-top-heavy", FULL.replace(stages_3d=2, stem_reach=0)),
        Preset("i3d-bottom-heavy", FULL.replace(stages_3d=2, bottom_heavy=1)),
    )
}

FAMILY = I3D()
