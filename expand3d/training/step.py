"""One optimisation step: parameter groups, learning rate, a pass forward and backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from expand3d.core.recipe import Recipe
from expand3d.core.result import Status

B = TypeVar("B")

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Ended(Exception):
    """A training that ends without a score: an outcome, with its reason in one line."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def is_out_of_memory(error: BaseException) -> bool:
    """True where `error` is what Python, torch on a CPU or CUDA raises when memory runs out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    signs = ("out of memory", "DefaultCPUAllocator", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for the optimiser: decayed, and BatchNorm's affine pairs, which are not."""
    norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, BATCH_NORMS)
        for parameter in module.parameters(recurse=False)
    }
    parameters = list(model.parameters())
    return [
        {
            "params": [each for each in parameters if id(each) not in norms],
            "weight_decay": weight_decay,
        },
        {"params": [each for each in parameters if id(each) in norms], "weight_decay": 0.0},
    ]


def make_optimiser(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.SGD:
    """SGD with the recipe's Nesterov momentum over groups such as `parameter_groups` gives."""
    return torch.optim.SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
    )


def lr_at(step: int, *, steps: int, recipe: Recipe, last: int | None = None) -> float:
    """The learning rate of step `step` (from 0) in a training of `steps`.

    Linear warm-up, then a cosine down to zero, or a constant rate where the recipe's `anneal` says
    so. `last` is the step at which a branch is tested; its cool-down to zero goes by 1 - sqrt
    (arXiv 2405.18392, section 3).
    """
    warmup = round(recipe.warmup * steps)
    if last is not None and step >= (trunk := recipe.trunk(last)):
        left = 1 - math.sqrt((step - trunk + 1) / (last - trunk + 1))
        return left * lr_at(trunk - 1, steps=steps, recipe=recipe)
    if step < warmup:
        return recipe.lr * (step + 1) / (warmup + 1)
    if recipe.anneal != "cosine":
        return recipe.lr
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Set the rate of every group: `lr`, times its `share` where it has one."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group.get("share", 1.0)


class Pass(NamedTuple):
    """A forward pass: its mean loss in nats, and how many of its clips were right; scalars."""

    loss: Tensor
    correct: Tensor


class Shown(NamedTuple):
    """A pass in numbers: its mean loss in nats, and how many of its clips were right."""

    loss: float
    correct: int


def forward_backward(forward: Callable[[B], Pass], batch: B, *, share: float = 1.0) -> Shown:
    """Loss and hits of the pass over `batch`; `share` of its gradient is then in the parameters."""
    passed = forward(batch)
    (passed.loss * share).backward()
    return Shown(passed.loss.item(), int(passed.correct))
