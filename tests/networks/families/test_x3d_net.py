"""The built X3D: shapes, any input size, initialisation, gradients, and where its parts stand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from expand3d.networks.families.x3d import FAMILY, X3DPlan
from expand3d.networks.families.x3d_net import Bottleneck, SqueezeExcite, X3DNet


def small_plan(num_classes: int = 5) -> X3DPlan:
    genotype = FAMILY.base.replace(
        gamma_t=4, gamma_tau=2, gamma_s=48 / 112, gamma_d=1.5, gamma_w=0.4, gamma_b=1.7
    )
    return FAMILY.resolve(genotype, num_classes=num_classes)


def build(plan: X3DPlan) -> X3DNet:
    torch.manual_seed(0)
    network = FAMILY.build(plan)
    assert isinstance(network, X3DNet)
    return network


def blocks(network: X3DNet) -> dict[str, Bottleneck]:
    return {
        name: module for name, module in network.named_modules() if isinstance(module, Bottleneck)
    }


@pytest.mark.parametrize("training", [True, False])
def test_logits_are_n_by_classes_float32(training: bool) -> None:
    network = build(small_plan(num_classes=7)).train(training)
    clips_NCTHW = torch.randn(3, 3, 4, 48, 48)
    logits = network(clips_NCTHW)
    assert logits.shape == (3, 7) and logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    assert logits.min() < 0  # logits, not probabilities


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "size", [(1, 32, 32), (1, 33, 47), (2, 48, 64), (3, 57, 41), (5, 96, 32), (9, 31, 31)]
)
def test_any_input_size_runs(size: tuple[int, int, int], training: bool) -> None:
    network = build(small_plan()).train(training)
    assert network(torch.randn(2, 3, *size)).shape == (2, 5)


def test_eval_gives_each_clip_its_own_logits() -> None:
    network = build(small_plan()).eval()
    clips = torch.randn(4, 3, 4, 48, 48)
    with torch.no_grad():
        together = network(clips)
        apart = torch.cat([network(clip[None]) for clip in clips])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


def test_the_last_batch_norm_of_every_block_starts_at_zero() -> None:
    for name, block in blocks(build(small_plan())).items():
        assert not block.project_bn.weight.any(), name
        assert block.channelwise_bn.weight.all(), name
    # A block after a stage's first is then the identity on its input, which a ReLU made positive.
    block = blocks(build(small_plan()))["res3.1"].train()
    x = torch.rand(2, block.expand.in_channels, 2, 6, 6)
    torch.testing.assert_close(block(x), x)


def test_every_parameter_gets_a_finite_gradient() -> None:
    network = build(small_plan()).train()
    for block in blocks(network).values():
        nn.init.uniform_(block.project_bn.weight, 0.5, 1.5)
    logits = network(torch.randn(4, 3, 4, 48, 48))
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_squeeze_excitation_stands_in_even_blocks_only() -> None:
    plan = small_plan()
    network = build(plan)
    assert len(blocks(network)) == sum(plan.depths)
    for name, block in blocks(network).items():
        index = int(name.split(".")[1])
        assert isinstance(block.se, SqueezeExcite) is (index % 2 == 0), name


def test_swish_is_silu_and_the_channelwise_convolution_has_one_group_per_channel() -> None:
    for name, block in blocks(build(small_plan())).items():
        conv = block.channelwise
        assert isinstance(block.swish, nn.SiLU)
        assert conv.kernel_size == (3, 3, 3) and conv.groups == conv.in_channels
        assert conv.stride == ((1, 2, 2) if name.endswith(".0") else (1, 1, 1))


def test_no_convolution_strides_over_time_and_conv1_spans_five_frames() -> None:
    network = build(small_plan())
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            assert module.stride[0] == 1
    assert network.stem.temporal.kernel_size == (5, 1, 1)
    assert network.stem.spatial.kernel_size == (1, 3, 3)


def test_the_first_shortcut_has_a_batch_norm_unless_the_switch_says_no() -> None:
    genotype = FAMILY.base
    ours = build(FAMILY.resolve(genotype))
    theirs = build(FAMILY.resolve(genotype, res2_shortcut_bn=False))
    assert isinstance(blocks(ours)["res2.0"].shortcut_bn, nn.BatchNorm3d)
    assert isinstance(blocks(theirs)["res2.0"].shortcut_bn, nn.Identity)
    for stage in ("res3.0", "res4.0", "res5.0"):
        assert isinstance(blocks(theirs)[stage].shortcut_bn, nn.BatchNorm3d)


def test_dropout_acts_in_training_only() -> None:
    plan = small_plan()
    torch.manual_seed(0)
    network = FAMILY.build(plan, dropout=0.5)
    dropouts = [module for module in network.modules() if isinstance(module, nn.Dropout)]
    assert [module.p for module in dropouts] == [0.5]
    clips = torch.randn(2, 3, 4, 48, 48)
    with torch.no_grad():
        network.eval()
        assert torch.equal(network(clips), network(clips))
        dropouts[0].train()
        assert not torch.equal(network(clips), network(clips))
