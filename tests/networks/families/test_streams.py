"""Two-stream networks and TSN against print, and their streams against networks of their own."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from expand3d.core.errors import WeightsError
from expand3d.core.genotype import Plan
from expand3d.measure.fvcore import measure
from expand3d.networks import all_presets, get_family, get_preset
from expand3d.networks.example import example
from expand3d.networks.families.segments import SegmentPlan, depth_factors, streams
from expand3d.networks.family import Limits
from expand3d.networks.layers.stream_modules import Consensus, FrameNorm, Fuse, fused

#: Counted elsewhere by hooks on independently written modules: parameters in M, GMACs, 1 picture.
COUNTED = (
    ("twostream-cnnm-rgb", 101, {}, 90.628, 1.516),
    ("twostream-cnnm-flow", 101, {}, 90.708, 2.467),
    ("twostream-vgg16-rgb", 101, {}, 134.674, 15.467),
    ("twostream-vgg16-flow", 101, {}, 134.684, 15.958),
    ("twostream-r18", 400, {"streams": streams("rgb")}, 11.382, 1.814),
    ("twostream-r18", 400, {"streams": streams("flow"), "stack": 5}, 11.404, 2.089),
    ("twostream-r18", 400, {"streams": streams("flow")}, 11.435, 2.483),
    ("twostream-r50", 400, {"streams": streams("rgb")}, 24.328, 4.088),
    ("twostream-r50", 400, {"streams": streams("flow"), "stack": 5}, 24.35, 4.363),
    ("twostream-r50", 400, {"streams": streams("flow")}, 24.381, 4.757),
    ("twostream-r101", 400, {"streams": streams("rgb")}, 43.32, 7.8),
    ("twostream-r101", 400, {"streams": streams("flow")}, 43.373, 8.469),
    ("tsn-bninception-rgb", 101, {"segments": 1}, 10.374, 2.032),
    ("tsn-bninception-flow", 101, {"segments": 1}, 10.396, 2.307),
)


@pytest.mark.parametrize(("name", "classes", "factors", "params", "gmacs"), COUNTED)
def test_parameters_and_multiply_adds_are_those_counted(
    name: str, classes: int, factors: dict[str, float], params: float, gmacs: float
) -> None:
    preset = get_preset(name)
    family = get_family(preset.genotype.family)
    cost = family.cost(family.resolve(preset.genotype.replace(**factors), num_classes=classes))
    assert round(cost.params / 1e6, 3) == params
    assert round(cost.macs / 1e9, 3) == gmacs


def test_a_clip_of_k_segments_costs_k_pictures() -> None:
    """mmaction2 prints 102.7 GFLOPs for the 25 pictures of a test: 25 x 4.1."""
    one = get_preset("tsn-r50-1x1x3").genotype
    family = get_family("tsn")
    costs = [family.cost(family.resolve(one.replace(segments=k))) for k in (1, 3, 25)]
    assert costs[1].macs == 3 * costs[0].macs and costs[2].macs == 25 * costs[0].macs
    assert round(costs[2].macs / 1e9, 1) == 102.2  # convolutions and classifier alone
    assert len({cost.params for cost in costs}) == 1


def small(family: str, **factors: float) -> Plan:
    base = get_family(family).base.replace(**{"gamma_s": 32 / 112, "gamma_w": 1 / 8, **factors})
    return get_family(family).resolve(base, num_classes=4)


def test_what_a_network_reads_is_what_its_factors_say() -> None:
    plan = small("tsn", streams=streams("rgb", "flow"), stack=5, segments=3)
    rgb, flow = plan.inputs
    assert rgb.shape == (3, 3, 32, 32) and flow.shape == (10, 3, 32, 32)
    assert (rgb.kind, flow.kind) == ("rgb", "flow")
    difference = small("tsn", streams=streams("rgb-difference"), stack=5, segments=7).inputs[0]
    assert difference.shape == (15, 7, 32, 32)
    assert difference.stored_channels == 18  # six frames have five differences


@pytest.mark.parametrize("backbone", range(5))
@pytest.mark.parametrize("pooled", [0, 1])
def test_pictures_pass_the_same_weights(backbone: int, pooled: int) -> None:
    """The scores of a clip are the mean of those of its pictures, each passed alone."""
    plan = small("tsn", segments=3, backbone=backbone, pooled=pooled, gamma_s=96 / 112)
    torch.manual_seed(0)
    network = get_family("tsn").build(plan).eval()
    (clip,) = example(plan, 2)
    with torch.no_grad():
        alone = torch.stack([network(clip[:, :, k : k + 1]) for k in range(3)])
        assert torch.allclose(network(clip), alone.mean(dim=0), atol=1e-5)


@pytest.mark.parametrize(("rule", "wanted"), [(0, "mean"), (1, "amax")])
def test_a_consensus_is_its_rule(rule: int, wanted: str) -> None:
    scores = torch.randn(2, 5, 7, 1, 1)
    found = Consensus(("average", "max")[rule], 7)(scores)
    assert torch.equal(found, getattr(scores[..., 0, 0], wanted)(dim=2))


def test_a_weighted_consensus_starts_as_the_mean_and_learns() -> None:
    consensus = Consensus("weighted", 4)
    scores = torch.randn(2, 5, 4, 1, 1)
    found = consensus(scores)
    assert torch.allclose(found, scores[..., 0, 0].mean(dim=2), atol=1e-6)
    found.sum().backward()
    assert consensus.weight.grad is not None and consensus.weight.grad.any()


def test_probabilities_are_averaged_by_weight() -> None:
    one, two = torch.randn(3, 5), torch.randn(3, 5)
    by_hand = (one.softmax(1).numpy() + 1.5 * two.softmax(1).numpy()) / 2.5
    found = fused((one, two), (1 / 2.5, 1.5 / 2.5)).softmax(dim=1).numpy()
    assert np.allclose(found, by_hand, atol=1e-6)


def test_streams_learn_as_if_they_were_trained_apart() -> None:
    plan = small("twostream", streams=streams("rgb", "flow"))
    torch.manual_seed(0)
    network = get_family("twostream").build(plan, dropout=0)
    inputs, labels = example(plan, 4), torch.tensor([0, 1, 2, 3])
    logits = network(*inputs)
    assert isinstance(logits, tuple) and len(logits) == 2
    sum(cross_entropy(each, labels) for each in logits).backward()
    together = {name: p.grad.clone() for name, p in network.named_parameters()}
    for stream, clip in zip(network.children(), inputs, strict=True):
        stream.zero_grad()
        cross_entropy(stream(clip), labels).backward()
    assert all(torch.equal(p.grad, together[name]) for name, p in network.named_parameters())


def test_local_response_normalisation_is_the_sum_over_neighbouring_channels() -> None:
    clip = torch.randn(1, 7, 2, 3, 3, dtype=torch.float64)
    found = FrameNorm()(clip)
    c, at = 3, (0, slice(1, 6), 1, 2, 2)
    near = (clip[at] ** 2).sum()
    wanted = clip[0, c, 1, 2, 2] / (2 + 1e-4 * near) ** 0.75
    assert torch.allclose(found[0, c, 1, 2, 2], wanted, rtol=1e-12)


def test_the_plan_says_each_streams_integers() -> None:
    plan = small("twostream", motion_width=2, **depth_factors(18))
    assert isinstance(plan, SegmentPlan)
    rgb, flow = plan.streams
    assert rgb.network.widths[1] == (8, 16, 32, 64)
    assert flow.network.widths[1] == (16, 32, 64, 128)
    assert rgb.network.depths == (2, 2, 2, 2)
    assert dataclasses.asdict(rgb)["stack"] == 1 and flow.stack == 2


def test_presets_are_listed() -> None:
    assert all_presets().keys() >= {"twostream-cnnm", "tsn-bninception", "tsn-r50-1x1x8"}


def test_fusion_costs_what_was_counted() -> None:
    """VGG-16 twice, five snippets, a 3D convolution behind relu5_3, both towers with their FC."""
    preset = get_preset("fusion-vgg16")
    family = get_family("fusion")
    cost = family.cost(family.resolve(preset.genotype, num_classes=101))
    assert round(cost.params / 1e6, 1) == 283.5
    assert round(cost.macs / 1e9, 2) == 170.04
    assert round(next(op.flops for op in cost.operators if op.name == "head.conv") / 1e9, 1) == 13.9
    one = preset.genotype.replace(gamma_t=1, gamma_tau=1)
    assert round(family.cost(family.resolve(one, num_classes=101)).macs / 1e9, 1) == 34.2


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("sum", lambda one, two: one + two),
        ("max", lambda one, two: torch.where(one > two, one, two)),
        ("concat", lambda one, two: torch.cat([one, two], 1)),
    ],
)
def test_features_are_fused_by_rule(rule: str, wanted: Any) -> None:
    one, two = torch.randn(2, 4, 3, 5, 5), torch.randn(2, 4, 3, 5, 5)
    assert torch.equal(Fuse(rule)(one, two), wanted(one, two))


def test_bilinear_fusion_is_the_outer_product_of_channels() -> None:
    one, two = torch.rand(1, 2, 1, 2, 2), torch.rand(1, 2, 1, 2, 2)
    product = sum(
        np.outer(one[0, :, 0, y, x], two[0, :, 0, y, x]) for y in range(2) for x in range(2)
    )
    wanted = np.sqrt(product).reshape(-1)
    found = Fuse("bilinear")(one, two)[0, :, 0, 0, 0].numpy()
    assert np.allclose(found, wanted / np.linalg.norm(wanted), atol=1e-5)


@pytest.mark.parametrize(
    ("rule", "at"),
    [
        # Each rule and each stage once.
        pytest.param(rule, at, marks=() if at == rule + 2 else pytest.mark.slow)
        for rule in range(4)
        for at in (2, 3, 4, 5)
    ],
)
def test_towers_meet_behind_any_stage(rule: int, at: int) -> None:
    family = get_family("fusion")
    factors = {"gamma_s": 64 / 112, "at": at, "fusion": rule, "kernel_t": 3, "kernel_s": 3}
    plan = family.resolve(family.base.replace(**factors), num_classes=4)
    network = family.build(plan)
    logits = network(*example(plan, 2))
    assert [each.shape for each in logits] == [(2, 4), (2, 4)]
    with torch.no_grad():
        assert network.eval()(*example(plan, 2)).shape == (2, 4)
    counted = {name: sum(kinds.values()) for name, kinds in measure(plan).by_module.items()}
    assert counted == {op.name: op.flops for op in family.cost(plan).operators}


def test_the_flow_stream_of_i3d_costs_what_was_counted() -> None:
    """12.675 M and 102.341 GMACs, with the classifier counted at each of 8 moments of 64 frames."""
    preset = get_preset("i3d-flow")
    family = get_family("i3d_twostream")
    plan = family.resolve(preset.genotype)
    cost = family.cost(plan)
    assert round(cost.params / 1e6, 3) == 12.675
    assert plan.inputs[0].shape == (2, 64, 224, 224)
    classifier = next(op.flops for op in cost.operators if op.name == "head.fc")
    assert round((cost.macs + 6 * classifier) / 1e9, 3) == 102.341  # 7 windows of 2 moments
    both = family.resolve(get_preset("i3d-twostream").genotype)
    rgb = get_family("i3d").cost(both.network)
    assert family.cost(both).macs == cost.macs + rgb.macs
    assert family.cost(both).params == cost.params + rgb.params


def test_logits_of_clip_streams_are_summed() -> None:
    family = get_family("i3d_twostream")
    plan = family.resolve(family.base.replace(gamma_s=32 / 112), num_classes=4)
    network = family.build(plan).eval()
    rgb, flow = example(plan, 2)
    assert flow.shape == (2, 2, 8, 32, 32)
    with torch.no_grad():
        alone = network.get_submodule("rgb")(rgb) + network.get_submodule("flow")(flow)
        assert torch.allclose(network(rgb, flow), alone, atol=1e-5)


def test_a_search_adds_streams_one_after_the_other() -> None:
    family, limits = get_family("tsn"), Limits()
    both = [streams("rgb", "flow"), streams("rgb", "flow", "warped-flow")]
    grown = list(family.grow("streams", family.base, limits))
    assert [g["streams"] for g in grown] == both
    costs = [family.cost(family.resolve(g)).macs for g in (family.base, *grown)]
    assert costs == sorted(costs) and costs[1] < 2.1 * costs[0]
    assert [g["streams"] for g in family.shrink("streams", grown[-1])] == [
        *(streams("rgb", "flow"), streams("rgb"))
    ]
    other = family.base.replace(streams=streams("rgb-difference"))
    assert not [*family.grow("streams", other, limits), *family.shrink("streams", other)]
    with pytest.raises(WeightsError, match=r"rgb cannot start rgb \+ flow"):
        family.follow(family.resolve(family.base), family.resolve(grown[0]), None)  # type: ignore[arg-type]
