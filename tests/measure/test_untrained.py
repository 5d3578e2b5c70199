"""Scores without training, against formulas written out by hand on small networks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from expand3d.core.recipe import get_profile
from expand3d.measure.untrained import (
    entropy,
    grad_norm,
    naswot,
    synflow,
    untrained_scores,
    zico,
)
from expand3d.networks import get_family
from expand3d.networks.example import example_views
from expand3d.search.tabular.columns import OF_UNTRAINED
from expand3d.training.batches import ClipBatch

RECIPE = get_profile("quick", {"batch": 4, "bn_batch": 4})


def plan_of(family: str = "x3d", **factors: float) -> Any:
    found = get_family(family)
    base = found.base.replace(**factors) if factors else found.base
    return found.resolve(base, num_classes=3)


class Small(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(3, 4, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.norm = nn.BatchNorm3d(4)
        self.second = nn.Conv3d(4, 6, (3, 3, 3), stride=(1, 2, 2), padding=1, groups=2, bias=False)
        self.last = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.first(x)).relu()
        return self.last(self.second(x).relu().mean((2, 3, 4)))


def test_entropy_is_the_formula_of_the_paper() -> None:
    """Base of one frame at 112 pixels: the output of `first` is 1 x 112 x 112."""
    plan = plan_of()
    side, half = 112, 56

    def refined(places: tuple[int, ...], kernel: tuple[int, ...]) -> float:
        dot = sum(a * b for a, b in zip(places, kernel, strict=True))
        cosine = dot / math.dist(places, (0, 0, 0)) / math.dist(kernel, (0, 0, 0))
        return -math.log(1 - cosine)

    expected = 0.5 * math.log(3 * 9 * refined((1, side, side), (1, 3, 3)))
    expected += 0.5 * math.log(2 * 27 * refined((1, half, half), (3, 3, 3)))
    assert entropy(Small(), plan) == pytest.approx(expected + math.log(6), rel=1e-9)


def test_synflow_is_the_flow_through_absolute_weights() -> None:
    """Of layers of one weight each, in a chain: every weight has the same share, the product."""
    plan = plan_of()

    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv3d(3, 1, 1, bias=False), nn.Conv3d(1, 1, 1, bias=False)
            self.norm = nn.BatchNorm3d(1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.norm(self.a(x))).mean((2, 3, 4))

    network = Chain()
    with torch.no_grad():
        network.a.weight.copy_(torch.tensor([-2.0, 1.0, -3.0]).reshape(1, 3, 1, 1, 1))
        network.b.weight.fill_(-0.5)
        network.norm.running_mean.fill_(7), network.norm.weight.fill_(0)  # type: ignore[union-attr,operator]
    # R = 0.5 (2 + 1 + 3) = 3: of the three weights of a together, of b, and of the norm's scale.
    assert synflow(network, plan) == pytest.approx(math.log(3 + 3 + 3))


def test_naswot_counts_what_clips_switch_alike() -> None:
    plan = plan_of()
    torch.manual_seed(0)
    network = Small()
    views = example_views(plan, 3)
    batch = ClipBatch(views, torch.tensor([0, 1, 2]))
    with torch.no_grad():
        pixels = views[0].movedim(4, 1).float() / 255
        normal = (pixels - 0.45) / 0.225
        on = (network.norm(network.first(normal)) > 0).flatten(1)
    kernel = [[float((a == b).sum()) for b in on] for a in on]
    expected = np.linalg.slogdet(np.array(kernel))[1]
    assert naswot(network, plan, batch, RECIPE) == pytest.approx(expected, rel=1e-6)


def test_zico_and_the_norm_are_their_formulas() -> None:
    first = {"a": np.array([1.0, -2.0]), "b": np.array([3.0, 1.0])}
    second = {"a": np.array([3.0, 2.0]), "b": np.array([-3.0, 4.0])}
    # |a|: 1 and 3, mean 2, deviation 1; 2 and 2 never varies. |b|: 3 and 3; 1 and 4: 2.5 / 1.5.
    assert zico([first, second]) == pytest.approx(math.log(2) + math.log(2.5 / 1.5))
    assert grad_norm(first) == pytest.approx(math.sqrt(1 + 4 + 9 + 1))


@pytest.mark.parametrize(
    "family",
    ["x3d", *(pytest.param(n, marks=pytest.mark.slow) for n in ("r3d", "tsn", "slowfast"))],
)
def test_networks_of_every_shape_have_scores_that_a_seed_repeats(family: str) -> None:
    plan = plan_of(family)
    batches = [
        ClipBatch(
            tuple(each + shift for each in example_views(plan, 4)), torch.tensor([0, 1, 2, 0])
        )
        for shift in (0, 60)
    ]
    state = torch.random.get_rng_state()
    found = untrained_scores(plan, batches, recipe=RECIPE, seed=1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert found.keys() == OF_UNTRAINED.keys() - {"network"}
    assert all(math.isfinite(each) for each in found.values())
    assert untrained_scores(plan, batches, recipe=RECIPE, seed=1) == found
    other = untrained_scores(plan, batches, recipe=RECIPE, seed=2)
    assert other["entropy"] == found["entropy"] and other["synflow"] != found["synflow"]
