"""BatchNorms that do something, for networks that are compared without trained weights."""

from __future__ import annotations

from torch import nn


def draw(network: nn.Module) -> None:
    """Random statistics and affine pairs, so that a BatchNorm in the wrong place is seen."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
