"""BatchNorm's statistics taken anew on training clips (precise BN, arXiv 2105.07576, section 3).

In training the running statistics are an average over the last batches. After weights went to
another size, crop or number of frames they belong to another network. Here each BatchNorm gets the
mean and the variance of all that it reads over some batches, while each batch is normalised by its
own as in training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from expand3d.core.recipe import Recipe
from expand3d.training.step import BATCH_NORMS

B = TypeVar("B")

#: Training clips that give the statistics anew before a test, where `anneal` is not cosine, or the
#: first clips were smaller. Few steps leave the running ones near where they began.
PRECISE = 64


def precise_passes(recipe: Recipe) -> int:
    """The passes that PRECISE clips take, rounded up."""
    return math.ceil(PRECISE / recipe.bn_batch)


class _Moments:
    """Count, mean and sum of squared distances from it per channel, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.spread = torch.zeros(0, dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        """Take in all values of an N x C x ... tensor (Chan, Golub and LeVeque 1983)."""
        values = x.detach().double().transpose(0, 1).flatten(1)
        count, mean = values.shape[1], values.mean(dim=1)
        spread = (values - mean[:, None]).square().sum(dim=1)
        if self.count == 0:
            self.count, self.mean, self.spread = count, mean, spread
            return
        both, apart = self.count + count, mean - self.mean
        self.spread = self.spread + spread + apart.square() * (self.count * count / both)
        self.mean = self.mean + apart * (count / both)
        self.count = both

    @property
    def variance(self) -> Tensor:
        """The unbiased variance, as torch's running one."""
        return self.spread / max(self.count - 1, 1)


class _Kept:
    """A BatchNorm that normalises by its running statistics in training too."""

    def train(self, mode: bool = True) -> Any:
        return super().train(False)  # type: ignore[misc]


def keep_statistics(norm: nn.Module) -> None:
    """Let a BatchNorm normalise by its running statistics from here on, and keep them."""
    kind = type(norm)
    norm.__class__ = type(f"Kept{kind.__name__}", (_Kept, kind), {})
    norm.eval()


def reestimate(
    network: nn.Module, batches: Iterable[B], forward: Callable[[nn.Module, B], Any]
) -> None:
    """Set every BatchNorm's running statistics to those of `batches`; nothing else changes.

    Those that `keep_statistics` keeps stay as they are.

    `forward` passes one batch through the network, which is then as in training, but without
    dropout. A network that was in train mode is so again. Without a batch nothing is done.
    """
    norms: list[Any] = [
        each
        for each in network.modules()
        if isinstance(each, BATCH_NORMS) and not isinstance(each, _Kept)
    ]
    moments: dict[nn.Module, _Moments] = {norm: _Moments() for norm in norms}

    def look(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        moments[norm].add(inputs[0])

    modes = {module: module.training for module in network.modules()}
    counted = {norm: norm.num_batches_tracked.clone() for norm in norms}
    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                forward(network, batch)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    for norm in norms:
        found = moments[norm]
        norm.num_batches_tracked.copy_(counted[norm])
        if found.count:
            norm.running_mean.copy_(found.mean)
            norm.running_var.copy_(found.variance)
