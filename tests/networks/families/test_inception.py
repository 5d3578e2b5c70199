"""I3D and S3D: the networks of their papers and of the codes that publish weights for them."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from expand3d.core.errors import FactorError, WeightsError
from expand3d.core.genotype import Genotype
from expand3d.networks import get_family, get_preset
from expand3d.networks.family import Limits
from expand3d.networks.weights.convert import convert
from tests.helpers import inception_by_hand as by_hand

CLASSES = 7


def macs(genotype: Genotype) -> int:
    family = get_family(genotype.family)
    return family.cost(family.resolve(genotype)).macs


def pytorch_i3d_names(place: str) -> tuple[str, str]:
    """piergiaj's names: of "1a", "2b", "2c", and of a block's branch."""
    units = {"1a": "Conv3d_1a_7x7", "2b": "Conv3d_2b_1x1", "2c": "Conv3d_2c_3x3"}
    unit = units.get(place) or f"Mixed_{place}"
    return f"{unit}.conv3d", f"{unit}.bn"


def pytorch_i3d_weights() -> dict[str, Tensor]:
    """Random weights under piergiaj's names, in the paper's shapes."""
    state: dict[str, Tensor] = {}

    def unit(place: str, inputs: int, out: int, size: int) -> None:
        conv, bn = pytorch_i3d_names(place)
        weight = torch.randn(out, inputs, size, size, size)
        state[f"{conv}.weight"] = weight * (2 / (inputs * size**3)) ** 0.5
        state[f"{bn}.weight"] = torch.empty(out).uniform_(0.5, 1.5)
        state[f"{bn}.bias"] = torch.randn(out) / 10
        state[f"{bn}.running_mean"] = torch.randn(out) / 10
        state[f"{bn}.running_var"] = torch.empty(out).uniform_(0.5, 2)

    unit("1a", 3, 64, 7)
    unit("2b", 64, 64, 1)
    unit("2c", 64, 192, 3)
    inputs = 192
    for place, (b0, b1a, b1b, b2a, b2b, b3b) in by_hand.WIDTHS.items():
        unit(f"{place}.b0", inputs, b0, 1)
        unit(f"{place}.b1a", inputs, b1a, 1)
        unit(f"{place}.b1b", b1a, b1b, 3)
        unit(f"{place}.b2a", inputs, b2a, 1)
        unit(f"{place}.b2b", b2a, b2b, 3)
        unit(f"{place}.b3b", inputs, b3b, 1)
        inputs = b0 + b1b + b2b + b3b
    state["logits.conv3d.weight"] = torch.randn(CLASSES, inputs, 1, 1, 1) / inputs**0.5
    state["logits.conv3d.bias"] = torch.randn(CLASSES)
    return state


def test_i3d_is_the_paper_s_network_under_pytorch_i3d_s_names() -> None:
    """At a length and a side that are no multiples of the strides, where SAME padding is uneven."""
    torch.manual_seed(0)
    state = pytorch_i3d_weights()
    plan = get_family("i3d").resolve(get_preset("i3d").genotype, num_classes=CLASSES)
    network = get_family("i3d").build(plan).eval()
    network.load_state_dict(convert(plan, state))
    clips = torch.randn(1, 3, 18, 50, 50)
    with torch.no_grad():
        features = by_hand.stages(state, clips, pytorch_i3d_names)["mixed5"]
        windows = torch.nn.functional.avg_pool3d(features, (2, *features.shape[3:]), stride=1)
        assert windows.shape[2:] == (2, 1, 1)  # 18 frames leave 3
        weight, bias = state["logits.conv3d.weight"], state["logits.conv3d.bias"]
        expected = torch.nn.functional.conv3d(windows, weight, bias).mean(dim=(2, 3, 4))
        scale = expected.abs().max()
        torch.testing.assert_close(network(clips) / scale, expected / scale, rtol=0, atol=1e-5)


def test_weights_that_are_not_the_network_s_are_named() -> None:
    plan = get_family("i3d").resolve(get_preset("i3d").genotype, num_classes=CLASSES)
    state = pytorch_i3d_weights()
    del state["Mixed_4e.b1b.conv3d.weight"]
    with pytest.raises(WeightsError, match=r"1 missing: mixed4\.3\.b1\.out\.conv\.weight$"):
        convert(plan, state)


def test_i2d_at_one_frame_is_googlenet() -> None:
    """GoogLeNet with BatchNorm counts 1.498 GMACs at 224 and 6.010 M parameters."""
    genotype = get_preset("i2d").genotype.replace(gamma_t=1)
    family = get_family("i3d")
    cost = family.cost(family.resolve(genotype))
    assert f"{cost.macs / 1e9:.3f} {cost.params / 1e6:.3f}" == "1.498 6.010"


def test_the_blocks_are_those_of_the_paper() -> None:
    plan = get_family("i3d").resolve(get_preset("i3d").genotype)
    widths = [block for stage in plan.blocks for block in stage]  # type: ignore[attr-defined]
    assert widths == list(by_hand.WIDTHS.values())


def test_depth_takes_the_first_blocks_and_repeats_the_last() -> None:
    family, genotype = get_family("i3d"), get_preset("i3d").genotype
    counts = {0.2: (1, 1, 1), 0.5: (1, 3, 1), 1: (2, 5, 2), 1.1: (3, 6, 3), 2: (4, 10, 4)}
    for gamma, expected in counts.items():
        blocks = family.resolve(genotype.replace(gamma_d=gamma)).blocks  # type: ignore[attr-defined]
        assert tuple(map(len, blocks)) == expected
        assert blocks[1][:5] == tuple(by_hand.WIDTHS[f"4{n}"] for n in "bcdef")[: expected[1]]
        assert set(blocks[1][5:]) <= {by_hand.WIDTHS["4f"]}


@pytest.mark.parametrize("name", ["i3d", "s3d", "s3d-stem3"])
@pytest.mark.parametrize("bottom_heavy", [0, 1])
def test_every_stage_in_3d_and_every_frame_of_the_stem_cost_more(
    name: str, bottom_heavy: int
) -> None:
    full = get_preset(name).genotype.replace(bottom_heavy=bottom_heavy)
    stages = [macs(full.replace(stages_3d=n)) for n in range(5)]
    reaches = [macs(full.replace(stem_reach=n)) for n in range(4)]
    assert all(a < b for a, b in itertools.pairwise(stages))
    assert all(a < b for a, b in itertools.pairwise(reaches))
    family = get_family(full.family)
    grown = family.grow("stages_3d", full.replace(stages_3d=1), Limits())
    assert [g["stages_3d"] for g in grown] == [2, 3, 4]


def test_top_heavy_networks_are_3d_behind_the_pools_and_cheaper() -> None:
    top = get_preset("i3d-top-heavy").genotype
    bottom = get_preset("i3d-bottom-heavy").genotype
    resolve = get_family("i3d").resolve
    assert resolve(top).volumetric == (False, False, True, True)  # type: ignore[attr-defined]
    assert resolve(bottom).volumetric == (True, True, False, False)  # type: ignore[attr-defined]
    assert macs(top) < macs(bottom)


def test_a_gate_is_a_sigmoid_of_all_channels_means() -> None:
    from expand3d.networks.layers import describe as L
    from expand3d.networks.layers.modules import build

    torch.manual_seed(0)
    gate = build(L.seq(("gate", L.Gate())), (L.Shape(3, 4, 6),))
    clip = torch.randn(2, 3, 4, 6, 6)
    weight = gate.get_parameter("gate.conv.weight")[:, :, 0, 0, 0]
    means = clip.flatten(2).mean(dim=2)
    expected = clip * (1 / (1 + torch.exp(-(means @ weight.T))))[:, :, None, None, None]
    torch.testing.assert_close(gate(clip), expected)


def test_gates_stand_behind_conv2_and_every_branch() -> None:
    plan = get_family("s3d").resolve(get_preset("s3d-g").genotype)
    names = [op.name for op in get_family("s3d").cost(plan).operators if "gate" in op.name]
    assert len(names) == 1 + 9 * 4
    assert names[0] == "conv2.gate.conv" and names[1] == "mixed3.0.b0.gate.conv"


def test_even_padding_needs_the_frames_that_torchvision_s_pools_need() -> None:
    family = get_family("s3d")
    genotype = get_preset("s3d").genotype
    assert family.resolve(genotype.replace(gamma_t=5)).frames == 5  # 5, 3, 2, 1
    with pytest.raises(FactorError, match="smallest is 5 of"):
        family.resolve(genotype.replace(gamma_t=4))
    assert family.resolve(get_preset("s3d-stem7").genotype.replace(gamma_t=1)).frames == 1
