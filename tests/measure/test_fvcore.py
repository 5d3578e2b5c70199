"""The arithmetic cost against the built network: fvcore, parameters and hooks, layer by layer."""

from __future__ import annotations

import csv
import random
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from expand3d.measure.fvcore import measure
from expand3d.networks.families.x3d import FAMILY, X3DPlan

GOLDEN = Path(__file__).parents[1] / "networks/families/golden/x3d_pytorchvideo_complexity.csv"


def random_plan(seed: int) -> X3DPlan:
    """A small network anywhere in the space, so that building and running it is quick."""
    draw = random.Random(seed)
    genotype = FAMILY.base.replace(
        gamma_tau=draw.randint(1, 12),
        gamma_t=draw.randint(1, 4),
        gamma_s=draw.randint(32, 64) / 112,
        gamma_d=draw.uniform(0.2, 2.2),
        gamma_w=draw.uniform(0.34, 1.6),
        gamma_b=draw.uniform(0.3, 3.0),
    )
    classes = draw.choice([1, 2, 6, 101, 400])
    with_bn = draw.random() < 0.7
    return FAMILY.resolve(genotype, num_classes=classes, res2_shortcut_bn=with_bn)


def conv_outputs(network: nn.Module, plan: X3DPlan) -> int:
    """Elements that the convolutions wrote, counted by hooks in one forward pass."""
    sizes: list[int] = []
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            module.register_forward_hook(lambda _module, _inputs, out: sizes.append(out.numel()))
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, plan.frames, plan.crop, plan.crop))
    return sum(sizes)


def check(plan: X3DPlan) -> None:
    cost, measured, network = FAMILY.cost(plan), measure(plan), FAMILY.build(plan)
    by_arithmetic = {operator.name: {operator.kind: operator.flops} for operator in cost.operators}
    assert len(by_arithmetic) == len(cost.operators)
    assert by_arithmetic == measured.by_module
    assert cost.fvcore_flops == measured.total == sum(measured.by_operator.values())
    assert cost.macs == measured.by_operator["conv"] + measured.by_operator["linear"]
    layers = dict(network.named_modules())
    for operator in cost.operators:
        assert operator.params == sum(p.numel() for p in layers[operator.name].parameters())
    assert cost.params == sum(p.numel() for p in network.parameters())
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    affine = sum(p.numel() for module in norms for p in module.parameters())
    assert cost.params_without_bn == cost.params - affine
    assert cost.activations == conv_outputs(network, plan)


def test_equal_operator_by_operator_on_random_networks() -> None:
    for seed in range(4):
        check(random_plan(seed))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_equal_operator_by_operator_on_546_random_networks(block: int) -> None:
    for seed in range(4, 550)[block::10]:
        check(random_plan(seed))


@pytest.mark.slow
def test_the_built_network_has_pytorchvideo_s_totals() -> None:
    with GOLDEN.open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["flops"]))
    for row in rows[:5]:
        genotype = FAMILY.base.replace(
            gamma_t=int(row["frames"]),
            gamma_s=int(row["crop"]) / 112,
            gamma_d=float(row["depth_factor"]),
            gamma_w=float(row["width_factor"]) / 2,
            gamma_b=float(row["bottleneck_factor"]),
        )
        classes = int(row["num_classes"])
        plan = FAMILY.resolve(genotype, num_classes=classes, res2_shortcut_bn=False)
        parameters = sum(p.numel() for p in FAMILY.build(plan).parameters())
        assert (measure(plan).total, parameters) == (int(row["flops"]), int(row["params"]))


def test_another_crop_is_measured_like_it_is_computed() -> None:
    plan = random_plan(0)
    assert measure(plan, crop=51).total == FAMILY.cost(plan, crop=51).fvcore_flops
    assert measure(plan, crop=51).total != measure(plan).total


def test_uncounted_operators_are_named_with_their_calls() -> None:
    plan = FAMILY.resolve(FAMILY.base.replace(gamma_s=32 / 112), num_classes=5)
    assert plan.depths == (1, 2, 5, 3)
    # One Swish and one addition per block, SE in blocks 0, 2, 4 (1 + 1 + 3 + 2), one global mean.
    assert measure(plan).uncounted == {
        "aten::add": 11,
        "aten::mean": 8,
        "aten::mul": 7,
        "aten::sigmoid": 7,
        "aten::silu": 11,
    }


def test_measuring_is_quiet_and_leaves_the_random_state(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(random_plan(1))
    assert torch.equal(torch.get_rng_state(), before)
    out, err = capfd.readouterr()
    assert (out, err, caplog.records) == ("", "", [])
