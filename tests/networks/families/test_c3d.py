"""The forms of C3D: what their heads read, where biases stand, how short a clip may be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from expand3d.core.errors import FactorError
from expand3d.networks import get_family, get_preset

C3D = get_family("c3d")


def plan(preset: str, **factors: float) -> object:
    return C3D.resolve(get_preset(preset).genotype.replace(**factors))


@pytest.mark.parametrize(
    ("preset", "features", "biased"),
    [
        ("c3d", 512 * 4 * 4, True),  # 112, 56, 28, 14, 7 and 4 with a row of padding on either side
        ("c3d-vmz", 512 * 3 * 3, False),
        ("c3d-i3d", 512 * 4 * 4, False),  # 16 frames become one in four pools, the fifth keeps it
        ("c3d-gap", 512, False),
    ],
)
def test_the_head_reads_what_the_pools_leave(preset: str, features: int, biased: bool) -> None:
    operators = {op.name: op for op in C3D.cost(plan(preset)).operators}
    first = operators.get("head.fc6.linear", operators["head.fc"])
    outputs = 400 if preset == "c3d-gap" else 4096
    assert first.flops == features * outputs
    assert operators["conv1.0.conv"].params == 64 * 3 * 27 + 64 * biased
    assert ("conv1.0.bn" in operators) is not biased
    normed = preset == "c3d-i3d"
    assert ("head.fc6.bn" in operators) is normed
    assert first.params == features * outputs + outputs * (not normed)


@pytest.mark.parametrize(("preset", "side"), [("c3d", 16), ("c3d-vmz", 32)])
def test_unpadded_pools_name_the_smallest_clip(preset: str, side: int) -> None:
    plan(preset, gamma_s=32 / 112)
    with pytest.raises(FactorError, match=f"the smallest is 16 of {side} x {side}"):
        plan(preset, gamma_t=15)


def test_a_fully_connected_head_keeps_its_size() -> None:
    small = plan("c3d", gamma_w=1 / 16, gamma_s=32 / 112, fc=8)
    network = C3D.build(small).eval()
    assert network(torch.zeros(2, 3, 16, 32, 32)).shape == (2, 400)
    with pytest.raises(FactorError, match="the fully connected head reads exactly 1 x 2 x 2"):
        network(torch.zeros(2, 3, 16, 64, 64))


def test_each_fully_connected_layer_is_followed_by_dropout() -> None:
    network = C3D.build(plan("c3d", gamma_w=1 / 16, gamma_s=32 / 112, fc=8), dropout=0.3)
    rates = [module.p for module in network.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.3, 0.3]


def test_printed_figures_are_reproduced() -> None:
    """38.5 G in all tables; VMZ's weights by hand, without BatchNorm: printed 64.9, cut off."""
    for preset in ("c3d", "c3d-ucf101", "c3d-vmz"):
        assert f"{C3D.cost(plan(preset)).macs / 1e9:.1f}" == "38.5"
    convs = 27 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 3 * 512 * 512)
    fc = (512 * 3 * 3 + 1) * 4096 + 4097 * 4096 + 4097 * 400
    assert C3D.cost(plan("c3d-vmz")).params_without_bn == convs + fc == 64_951_760
    ucf101 = C3D.resolve(get_preset("c3d-ucf101").genotype, num_classes=101)
    assert f"{C3D.cost(ucf101).params / 1e6:.1f}" == "78.4"
    assert int(C3D.cost(plan("c3d-i3d")).params / 1e6) == 79


def test_factors_without_an_effect_make_no_other_network() -> None:
    assert plan("c3d-gap", fc=8, batch_norm=2) == plan("c3d-gap")
    assert plan("c3d", fc=8) != plan("c3d")
