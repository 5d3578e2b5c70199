"""pytorchvideo's names and the folded BatchNorm, checked without pytorchvideo."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from expand3d.networks.families.x3d import FAMILY, PRESETS, X3DPlan
from expand3d.networks.weights.x3d_names import from_pytorchvideo, to_pytorchvideo
from tests.helpers.networks import SMALL, logits, randomised

BN = ("weight", "bias", "running_mean", "running_var")


@pytest.fixture
def plan() -> X3DPlan:
    return FAMILY.resolve(SMALL, num_classes=6)


def test_x3d_s_has_pytorchvideos_entries_and_parameters() -> None:
    """563 entries and 3,794,274 parameters, counted on pytorchvideo 0.1.5's X3D-S."""
    plan = FAMILY.resolve(PRESETS["x3d-s"].genotype)
    state = to_pytorchvideo(FAMILY.build(plan).state_dict(), plan)
    assert len(state) == 563
    learned = [value.numel() for key, value in state.items() if "running_" not in key]
    batches = sum(key.endswith("num_batches_tracked") for key in state)
    assert sum(learned) - batches == 3_794_274


@pytest.mark.parametrize(
    "key, shape",
    [
        ("blocks.0.conv.conv_t.weight", (24, 3, 1, 3, 3)),
        ("blocks.0.conv.conv_xy.weight", (24, 1, 5, 1, 1)),
        ("blocks.0.norm.running_var", (24,)),
        ("blocks.1.res_blocks.0.branch1_conv.weight", (24, 24, 1, 1, 1)),
        ("blocks.2.res_blocks.0.branch1_norm.weight", (48,)),
        ("blocks.3.res_blocks.10.branch2.conv_b.weight", (216, 1, 3, 3, 3)),
        ("blocks.3.res_blocks.10.branch2.norm_b.1.block.0.bias", (16,)),
        ("blocks.3.res_blocks.10.branch2.norm_b.1.block.2.weight", (216, 16, 1, 1, 1)),
        ("blocks.4.res_blocks.6.branch2.norm_b.0.bias", (432,)),
        ("blocks.5.pool.pre_conv.weight", (432, 192, 1, 1, 1)),
        ("blocks.5.pool.post_conv.weight", (2048, 432, 1, 1, 1)),
        ("blocks.5.proj.weight", (400, 2048)),
    ],
)
def test_names_and_shapes(key: str, shape: tuple[int, ...]) -> None:
    plan = FAMILY.resolve(PRESETS["x3d-s"].genotype)
    assert to_pytorchvideo(FAMILY.build(plan).state_dict(), plan)[key].shape == shape


def test_res2_has_no_shortcut_norm_and_odd_blocks_no_se(plan: X3DPlan) -> None:
    state = to_pytorchvideo(randomised(plan).state_dict(), plan)
    assert not [key for key in state if key.startswith("blocks.1.res_blocks.0.branch1_norm")]
    assert not [key for key in state if "res_blocks.1.branch2.norm_b.1" in key]


def test_fold_is_a_batch_norm_of_the_shortcut(plan: X3DPlan) -> None:
    """relu(bn(conv(x)) + y) == relu(conv'(x) + y + shift), by torch's own batch_norm."""
    state = randomised(plan).state_dict()
    folded = to_pytorchvideo(state, plan)
    x = torch.randn(2, plan.stem, 2, 6, 6)
    y = torch.randn(2, plan.widths[0], 2, 6, 6)
    conv, weight = torch.nn.functional.conv3d, state["res2.0.shortcut.weight"]
    gain, bias, mean, var = (state[f"res2.0.shortcut_bn.{name}"] for name in BN)
    norm = torch.nn.functional.batch_norm
    wanted = norm(conv(x, weight), mean, var, gain, bias, training=False)
    last = [state[f"res2.0.project_bn.{name}"] for name in BN]
    wanted = wanted + norm(y, last[2], last[3], last[0], last[1], training=False)

    block = "blocks.1.res_blocks.0"
    last = [folded[f"{block}.branch2.norm_c.{name}"] for name in BN]
    got = conv(x, folded[f"{block}.branch1_conv.weight"])
    got = got + norm(y, last[2], last[3], last[0], last[1], training=False)
    assert torch.allclose(got, wanted, atol=1e-5)
    assert not torch.allclose(last[1], state["res2.0.project_bn.bias"], atol=1e-2)


def test_folded_weights_give_the_same_logits_without_the_batch_norm(plan: X3DPlan) -> None:
    ours = randomised(plan)
    bare = dataclasses.replace(plan, res2_shortcut_bn=False)
    other = FAMILY.build(bare).eval()
    other.load_state_dict(from_pytorchvideo(to_pytorchvideo(ours.state_dict(), plan), bare))
    assert (logits(other, plan) - logits(ours, plan)).abs().max() < 1e-5


def test_the_way_back_adds_an_identity(plan: X3DPlan) -> None:
    bare = dataclasses.replace(plan, res2_shortcut_bn=False)
    theirs = randomised(bare)
    ours = FAMILY.build(plan).eval()
    ours.load_state_dict(from_pytorchvideo(to_pytorchvideo(theirs.state_dict(), bare), plan))
    assert (logits(ours, plan) - logits(theirs, plan)).abs().max() < 1e-5


def test_the_input_is_left_alone(plan: X3DPlan) -> None:
    state = randomised(plan).state_dict()
    before = {key: value.clone() for key, value in state.items()}
    to_pytorchvideo(state, plan)
    assert state.keys() == before.keys()
    assert all(torch.equal(state[key], before[key]) for key in state)
