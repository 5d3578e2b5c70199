"""MotionNet and the networks stacked on it against print, and its flow's sizes."""

from __future__ import annotations

import pytest
import torch

from expand3d.networks import get_family, get_preset
from expand3d.networks.example import example
from expand3d.networks.layers.describe import Shape, operators
from expand3d.networks.layers.motion_modules import MotionNet
from expand3d.networks.operators import Cost

HIDDEN = get_family("hidden_twostream")
#: Counted elsewhere by hooks on independently written modules: parameters in M, GMACs.
COUNTED = (
    ("hidden-motionnet-vgg16", 10, 224, 42.32, 20.058),
    ("hidden-tiny-vgg16", 5, 112, 1.848, 2.545),
    ("hidden-tiny-vgg16", 10, 112, 1.95, 3.196),
    ("hidden-tiny-vgg16", 5, 224, 1.848, 10.181),
    ("hidden-tiny-vgg16", 10, 224, 1.95, 12.785),
)
#: The prototxt doubles the finest flow by a fixed 4x4 deconvolution of each channel, which counts
#: as such; here it is an interpolation, which does not.
BILINEAR = 20 * 4 * 4 * 112 * 112


@pytest.mark.parametrize(("name", "pairs", "crop", "params", "gmacs"), COUNTED)
def test_motionnet_costs_what_was_counted(
    name: str, pairs: int, crop: int, params: float, gmacs: float
) -> None:
    plan = HIDDEN.resolve(get_preset(name).genotype.replace(pairs=pairs), num_classes=51)
    cost = Cost(tuple(operators(plan.motion, Shape(3 * (pairs + 1), 1, crop))))
    assert round(cost.params / 1e6, 3) == pytest.approx(params, abs=1e-3)
    glue = BILINEAR if name == "hidden-motionnet-vgg16" else 0
    assert round((cost.macs + glue) / 1e9, 3) == gmacs


def test_stacked_it_costs_what_was_counted() -> None:
    plan = HIDDEN.resolve(get_preset("hidden-motionnet-vgg16").genotype, num_classes=51)
    cost = HIDDEN.cost(plan)
    assert round(cost.params / 1e6, 3) == 176.799
    assert round((cost.macs + BILINEAR) / 1e9, 3) == 36.016


@pytest.mark.parametrize("side", [64, 72, 100, 111])
@pytest.mark.parametrize("motion", [0, 1])
def test_flow_has_the_frames_size_and_halves_by_level(side: int, motion: int) -> None:
    plan = HIDDEN.resolve(HIDDEN.base.replace(motion=motion, segments=2), num_classes=4)
    network = MotionNet(plan.motion, 9)
    frames = torch.randn(1, 9, 2, side, side)
    with torch.no_grad():
        assert network(frames).shape == (1, 4, 2, side, side)
        pyramid = network.pyramid(frames)
    assert sorted(pyramid) == list(range(2, plan.motion.levels + 1))
    size = side
    for level in range(2, plan.motion.levels + 1):
        size = -(-size // 2)
        assert pyramid[level].shape == (1, 4, 2, size, size)


def test_flow_is_clipped_to_its_bound_in_pixels() -> None:
    plan = HIDDEN.resolve(HIDDEN.base, num_classes=4)
    network = MotionNet(plan.motion, 9)
    torch.nn.init.constant_(network.get_submodule("flow2").bias, 7.0)
    with torch.no_grad():
        assert network(torch.zeros(1, 9, 1, 64, 64)).max() == 20


def test_it_reads_snippets_of_l_plus_one_frames() -> None:
    plan = HIDDEN.resolve(HIDDEN.base.replace(pairs=10, segments=3), num_classes=4)
    assert [each.shape for each in plan.inputs] == [(33, 3, 80, 80)]
    assert plan.inputs[0].stored_channels == 33
    with torch.no_grad():
        logits = HIDDEN.build(plan).eval()(*example(plan, 2, crop=64))
    assert logits.shape == (2, 4)
