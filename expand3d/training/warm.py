"""Trainings that begin with weights: what came learns slower than what is new, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from expand3d.core.recipe import Recipe
from expand3d.training.precise_norm import keep_statistics
from expand3d.training.step import BATCH_NORMS, make_optimiser, parameter_groups


def begun(
    initial: Mapping[str, Tensor],
    fresh: Mapping[str, Tensor],
    new: Mapping[str, Tensor],
    recipe: Recipe,
) -> dict[str, Tensor]:
    """The weights that a training begins with: `initial`, shrunk and perturbed by `fresh` ones.

    That is of what came with weights in convolutions and linear layers (arXiv 1910.08475); `new`
    numbers, BatchNorm and biases stay as they are.
    """
    if recipe.shrink == 1 and recipe.perturb == 0:
        return dict(initial)
    found = dict(initial)
    for name, value in initial.items():
        if value.dim() < 2:
            continue
        mixed = recipe.shrink * value + recipe.perturb * fresh[name].to(value)
        found[name] = torch.where(new[name], value, mixed) if name in new else mixed
    return found


def freeze(network: nn.Module, new: Mapping[str, Tensor], recipe: Recipe) -> None:
    """Let the first layers of the network, a share `recipe.freeze` of all, learn no more.

    A layer in which anything is new learns all the same. BatchNorm's running statistics go on,
    unless `recipe.freeze_norm` keeps every BatchNorm, wherever it stands, that came as a whole.
    """
    layers = [
        list(module.named_parameters(path, recurse=False))
        for path, module in network.named_modules()
    ]
    layers = [layer for layer in layers if layer]
    for layer in layers[: int(recipe.freeze * len(layers))]:
        if not any(bool(new[name].any()) for name, _ in layer if name in new):
            for _, parameter in layer:
                parameter.requires_grad_(False)
    if recipe.freeze_norm:
        for path, module in network.named_modules():
            if isinstance(module, BATCH_NORMS) and not _anything_new(path, module, new):
                keep_statistics(module)
                module.requires_grad_(False)


def _anything_new(path: str, module: nn.Module, new: Mapping[str, Tensor]) -> bool:
    names = (f"{path}.{name}" for name in module.state_dict())
    return any(bool(new[name].any()) for name in names if name in new)


def warm_optimiser(
    network: nn.Module, new: Mapping[str, Tensor], recipe: Recipe
) -> torch.optim.SGD:
    """SGD in which what came with weights learns at `recipe.warm_lr` times the rate.

    A tensor may hold both, such as a wider layer's. SGD's step is linear in the gradient with its
    decay, so that there a share of the rate is as much of both.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups: list[dict[str, Any]] = []
    shares: list[tuple[nn.Parameter, Tensor, float]] = []
    for group in parameter_groups(network, recipe.weight_decay):
        decay = group["weight_decay"]
        parts: dict[str, list[nn.Parameter]] = {"came": [], "new": [], "both": []}
        for parameter in group["params"]:
            of = new.get(names[id(parameter)], torch.zeros(()))
            part = "new" if of.all() else "both" if of.any() else "came"
            parts[part].append(parameter)
            if part == "both":
                share = torch.where(of, 1.0, recipe.warm_lr).to(parameter)
                shares.append((parameter, share, decay))
        groups += [
            {"params": parts["came"], "weight_decay": decay, "share": recipe.warm_lr},
            {"params": parts["new"], "weight_decay": decay, "share": 1.0},
            {"params": parts["both"], "weight_decay": 0.0, "share": 1.0},
        ]
    optimiser = make_optimiser([group for group in groups if group["params"]], recipe)

    def scale(*_: Any) -> None:
        for parameter, share, decay in shares:
            if parameter.grad is not None:
                parameter.grad = share * (parameter.grad + decay * parameter.detach())

    optimiser.register_step_pre_hook(scale)
    return optimiser
