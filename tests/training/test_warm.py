"""Trainings that begin with weights: what is new, and how fast the rest learns."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from expand3d.core.errors import ConfigError
from expand3d.core.recipe import PROFILES, WARM, Recipe, get_profile
from expand3d.networks import get_family
from expand3d.networks.weights.remap import remapped
from expand3d.training.precise_norm import reestimate
from expand3d.training.step import make_optimiser, parameter_groups, set_lr
from expand3d.training.warm import begun, freeze, warm_optimiser

QUICK = PROFILES["quick"]
X3D = get_family("x3d")


def plan_of(**integers: Any) -> Any:
    small = {"widths": (8, 16, 32, 64), "inners": (8, 16, 32, 64), "depths": (1, 1, 1, 1)}
    small |= {"stem": 8, "se_widths": (8, 8, 8, 8), "conv5": 64, "lin5": 32, "crop": 32}
    return dataclasses.replace(X3D.resolve(X3D.base, num_classes=3), **{**small, **integers})


@pytest.mark.parametrize(
    "growth",
    [
        {"stem": 11, "lin5": 40},
        {"inners": (9, 16, 32, 64)},
        {"depths": (1, 2, 1, 1)},
        {"frames": 4},
        {},
    ],
)
def test_numbers_are_new_that_no_old_weight_gave(growth: dict[str, Any]) -> None:
    """Every old number is 7: what is anything else in the new network was drawn or zeroed."""
    old, new = plan_of(), plan_of(**growth)
    sevens = {
        name: torch.full_like(value, 7) if value.is_floating_point() else value
        for name, value in X3D.build(old).state_dict().items()
    }
    torch.manual_seed(0)
    found = remapped(old, sevens, new)
    assert found.new.keys() == found.state.keys()
    for name, value in found.state.items():
        if value.is_floating_point():
            assert torch.equal(found.new[name], value != 7), name
    assert any(bool(each.any()) for each in found.new.values()) == bool(growth)


def test_another_head_is_new() -> None:
    state = X3D.build(plan_of()).state_dict()
    found = remapped(plan_of(), state, plan_of(), classifier=False)
    new = [name for name, each in found.new.items() if each.all()]
    assert new and all(len(found.state[name]) == 3 for name in new)


class Small(nn.Module):
    """A layer of each kind: one that came, one that is new, and one that is half of each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.came, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
        self.both, self.new = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.new(self.both(self.norm(self.came(x))))
        return out


def news() -> dict[str, torch.Tensor]:
    found = {name: torch.zeros(p.shape, dtype=torch.bool) for name, p in Small().named_parameters()}
    found["new.weight"][:] = found["new.bias"][:] = True
    found["both.weight"][2:] = found["both.bias"][2:] = found["norm.weight"][3:] = True
    return found


def stepped(network: nn.Module, optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Five steps of gradients that do not depend on the weights, so that numbers learn apart."""
    for step in range(5):
        torch.manual_seed(step)
        set_lr(optimiser, lr)
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape)
        optimiser.step()


def test_what_came_learns_at_a_share_of_the_rate_and_what_is_new_at_all_of_it() -> None:
    recipe = dataclasses.replace(QUICK, warm_lr=0.1, weight_decay=0.02)
    slow, fast, warm = Small(), Small(), Small()
    for network, lr in ((slow, 0.05), (fast, 0.5)):
        plain = make_optimiser(parameter_groups(network, recipe.weight_decay), recipe)
        stepped(network, plain, lr)
    stepped(warm, warm_optimiser(warm, news(), recipe), 0.5)
    began = dict(Small().named_parameters())
    for name, found in warm.named_parameters():
        ends = (dict(each.named_parameters())[name] for each in (fast, slow))
        torch.testing.assert_close(found, torch.where(news()[name], *ends))
        assert not torch.equal(found, began[name])


def test_convolutions_and_linear_layers_begin_shrunk_and_perturbed() -> None:
    recipe = dataclasses.replace(QUICK, shrink=0.5, perturb=0.25)
    initial = {"w": torch.full((2, 2), 8.0), "norm": torch.full((2,), 8.0)}
    fresh = {"w": torch.full((2, 2), 4.0), "norm": torch.ones(2)}
    new = {"w": torch.tensor([[False, True], [False, False]])}
    found = begun(initial, fresh, new, recipe)
    assert found["w"].tolist() == [[5.0, 8.0], [5.0, 5.0]]
    assert found["norm"].tolist() == [8.0, 8.0]
    assert begun(initial, fresh, new, QUICK) == initial


def test_the_first_layers_may_stay_as_they_came() -> None:
    network = Small()
    freeze(network, news(), dataclasses.replace(QUICK, freeze=0.75))
    learns = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    # Of four layers the first three are asked for; what holds new numbers learns.
    assert learns == {
        *("norm.weight", "norm.bias", "both.weight", "both.bias", "new.weight", "new.bias")
    }
    before = network.came.weight.clone()
    recipe = dataclasses.replace(QUICK, freeze=0.75, warm_lr=0.1)
    optimiser = warm_optimiser(network, news(), recipe)
    set_lr(optimiser, 0.5)
    network(torch.randn(8, 3)).sum().backward()
    optimiser.step()
    assert torch.equal(network.came.weight, before)
    assert bool((network.norm.running_mean != 0).any())


def test_batchnorm_may_keep_what_came_and_normalises_by_it() -> None:
    """A step in train mode sees what the network computes in eval mode; convolutions learn."""
    torch.manual_seed(0)
    network = X3D.build(plan_of(), dropout=0.0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_(), module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr,operator]
    came = {name: value.clone() for name, value in network.state_dict().items()}
    clip = torch.randn(2, 3, 1, 32, 32)
    expected = network.eval()(clip).detach()
    freeze(network, {}, dataclasses.replace(QUICK, freeze_norm=True))
    found = network.train()(clip)
    torch.testing.assert_close(found, expected)
    optimiser = warm_optimiser(network, {}, QUICK)
    set_lr(optimiser, 0.1)
    found.square().sum().backward()
    optimiser.step()
    reestimate(network, [clip], lambda net, batch: net(batch))
    norms = {path for path, module in network.named_modules() if isinstance(module, nn.BatchNorm3d)}
    for name, value in network.state_dict().items():
        if name.rpartition(".")[0] in norms:
            assert torch.equal(value, came[name]), name
        elif value.dim() == 5 and "se." not in name:
            assert not torch.equal(value, came[name]), name


def test_a_batchnorm_with_anything_new_learns_all_the_same() -> None:
    network = Small()
    recipe = dataclasses.replace(QUICK, freeze_norm=True)
    freeze(network, news(), recipe)
    network.train()
    assert network.norm.training and network.norm.weight.requires_grad
    freeze(network, {}, recipe)
    network.train()
    assert not network.norm.training and not network.norm.weight.requires_grad
    assert network.came.weight.requires_grad and network.training


def test_without_the_keys_a_recipe_is_recorded_as_ever() -> None:
    assert not {*WARM, "anneal"} & QUICK.to_json().keys()
    warm = get_profile("quick", {"warm_lr": 0.1, "freeze": 0.5})
    assert warm.to_json()["warm_lr"] == 0.1 and "shrink" not in warm.to_json()
    assert Recipe.from_json(warm.to_json()) == warm
    assert Recipe.from_json(QUICK.to_json()) == QUICK


@pytest.mark.parametrize(
    ("key", "value"),
    [("warm_lr", 0), ("shrink", 1.1), ("perturb", -0.1), ("freeze", 1), ("freeze_norm", 1)],
)
def test_illegal_values_are_named(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"recipe: {key} = "):
        get_profile("quick", {key: value})
