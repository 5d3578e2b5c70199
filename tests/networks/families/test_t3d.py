"""T3D: branches of even kernels stay in step, and any clip is long enough."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from expand3d.networks import get_family, get_preset
from expand3d.networks.families.t3d import T3DPlan

T3D = get_family("t3d")
SMALL = T3D.base.replace(gamma_s=32 / 112)


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 8])
def test_a_transition_is_three_convolutions_over_time_side_by_side(frames: int) -> None:
    """The kernel of 6 frames sees two before and three after, that of 3 one on either side."""
    network = T3D.build(T3D.resolve(SMALL)).eval()
    transition = network.get_submodule("transition1")
    x = torch.randn(1, 24, frames, 6, 6)
    branches = []
    for number, (depth, before, after) in enumerate(((1, 0, 0), (3, 1, 1), (6, 2, 3)), start=1):
        conv = transition.get_submodule(f"branches.branch{number}.conv")
        around = 0 if depth == 1 else 1
        padded = F.pad(F.relu(x / (1 + 1e-5) ** 0.5), (*[around] * 4, before, after))
        branches.append(F.conv3d(padded, conv.weight))
        assert conv.weight.shape == (8, 24, depth, 2 * around + 1, 2 * around + 1)
    window = (min(frames, 2), 2, 2)
    expected = F.avg_pool3d(torch.cat(branches, dim=1), window, 2)
    with torch.no_grad():
        torch.testing.assert_close(transition(x), expected, rtol=1e-4, atol=1e-5)


def test_the_paper_s_depths_and_maps() -> None:
    plan = T3D.resolve(get_preset("t3d-169").genotype)
    assert isinstance(plan, T3DPlan)
    assert plan.transitions == ((1, 3, 6), (1, 3, 4), (1, 3, 4)) and plan.branch == 128
    assert (plan.growth, plan.inner, plan.depths) == (32, 128, (6, 12, 32, 32))


@pytest.mark.parametrize(
    ("preset", "macs", "params"),
    [("densenet-121", "2.83", 7_978_856), ("densenet-169", "3.36", 14_149_480)],
)
def test_kernels_of_one_frame_make_torchvision_s_networks(
    preset: str, macs: str, params: int
) -> None:
    cost = T3D.cost(T3D.resolve(get_preset(preset).genotype, num_classes=1000))
    assert (f"{cost.macs / 1e9:.2f}", cost.params) == (macs, params)


def test_plain_transitions_ignore_the_branches_factors() -> None:
    plain = get_preset("densenet3d-121").genotype
    changed = plain.replace(ttl_width=64, ttl_long=2, ttl_first=2, ttl_short=2, ttl_middle=2)
    assert T3D.resolve(changed) == T3D.resolve(plain)


def test_strides_of_one_keep_frames() -> None:
    """Frames before the first transition cost in proportion, with 4, 8 or 16 of them left."""
    macs = {}
    for conv, pool in ((2, 2), (1, 2), (1, 1)):
        genotype = SMALL.replace(gamma_t=16, stem_stride=conv, pool_stride=pool)
        stages = T3D.cost(T3D.resolve(genotype)).by_stage()
        macs[conv * pool] = stages["block1"]["macs"]
    assert macs[4] * 4 == macs[2] * 2 == macs[1]
