"""Weights that hold what is no finite number are no result, whatever the loss said."""

from __future__ import annotations

import torch
from torch import nn

from expand3d.training.step import Ended


def not_finite(model: nn.Module) -> list[str]:
    """Names in the state dict, of parameters and running statistics, with NaN or infinity in."""
    return [
        name
        for name, value in model.state_dict().items()
        if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]


def require_finite(model: nn.Module) -> None:
    """Ended, as diverged, where `model` holds a number that is not finite."""
    broken = not_finite(model)
    if broken:
        raise Ended("diverged", f"{describe(broken)} after the last step")


def describe(broken: list[str]) -> str:
    """One line that says what is wrong with the tensors of these names."""
    return f"{len(broken)} tensors of weights are not finite ({broken[0]} is the first)"
