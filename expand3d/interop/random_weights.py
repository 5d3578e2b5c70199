"""Weights that leave no tensor as it was made, as a function of each tensor's name alone.

A comparison on untrained weights proves little: BatchNorms that change nothing, or logits near
zero, agree with anything. These are as far from that as a trained network's, and equal on every
machine, whatever the order in which tensors come.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

SEED = 20261129


def filling(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The values of the tensor called `name`: statistics and gains near 1, activations in scale."""
    seed = (zlib.crc32(name.encode()) + SEED) % 2**32
    z = np.random.RandomState(seed).standard_normal(shape)
    if name.endswith("running_mean"):
        z = 0.3 * z
    elif name.endswith("running_var"):
        z = 1 + 0.5 * np.abs(z)
    elif len(shape) > 1:
        z = z * np.sqrt(1.5 / prod(shape[1:]))
    elif name.endswith("weight"):
        z = 1 + 0.1 * z
    else:
        z = 0.3 * z
    return z.astype(np.float32)


def randomised(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of the same names and shapes; counters, which no forward pass reads, are 0."""
    import torch

    return {
        name: torch.from_numpy(filling(name, tuple(value.shape)))
        if value.is_floating_point()
        else torch.zeros_like(value)
        for name, value in state.items()
    }
