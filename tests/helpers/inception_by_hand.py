"""Inception-v1 from its papers in plain torch functions, over images or clips, SAME padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

#: arXiv 1409.4842 table 1, by the names of arXiv 1705.07750: 1x1; 3x3's reduction and 3x3; the
#: second 3x3's reduction and it; behind the pool.
WIDTHS = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}
#: The pools before 3b, 4b and 5b: kernels over time and space; the strides are 1, 2, 2 and 2.
POOLS = {"3": ((1, 3), (1, 2)), "4": ((3, 3), (2, 2)), "5": ((2, 2), (2, 2))}
State = Mapping[str, Tensor]
#: From "1a", "2b", "2c" or a block's "3b.b1a" to the names of a convolution and of its BatchNorm.
Names = Callable[[str], tuple[str, str]]


def same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Zeros around `x` as TensorFlow's SAME padding puts them."""
    for dim, (k, s) in enumerate(zip(kernel, stride, strict=True), start=2):
        size = x.shape[dim]
        total = max(k - s if size % s == 0 else k - size % s, 0)
        shape = list(x.shape)
        shape[dim] = total // 2
        before = x.new_zeros(shape)
        shape[dim] = total - total // 2
        x = torch.cat([before, x, x.new_zeros(shape)], dim=dim)
    return x


def of_rank(x: Tensor, pair: tuple[int, int]) -> tuple[int, ...]:
    """(time, space) as (t, s, s) for clips and (s, s) for images."""
    t, s = pair
    return (t, s, s)[-(x.ndim - 2) :]


def conv_bn_relu(x: Tensor, state: State, names: tuple[str, str], stride: int = 1) -> Tensor:
    conv, bn = names
    weight = state[f"{conv}.weight"]
    strides = (stride,) * (x.ndim - 2)
    x = same(x, tuple(weight.shape[2:]), strides)
    x = (F.conv3d if x.ndim == 5 else F.conv2d)(x, weight, stride=strides)
    mean, var = state[f"{bn}.running_mean"], state[f"{bn}.running_var"]
    return torch.relu(
        F.batch_norm(x, mean, var, state[f"{bn}.weight"], state[f"{bn}.bias"], eps=1e-3)
    )


def max_pool(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    k, s = of_rank(x, kernel), of_rank(x, stride)
    return (F.max_pool3d if x.ndim == 5 else F.max_pool2d)(same(x, k, s), k, s)


def stages(state: State, x: Tensor, names: Names) -> dict[str, Tensor]:
    """The activations behind conv1, conv2 and the three groups of blocks."""

    def unit(x: Tensor, place: str, stride: int = 1) -> Tensor:
        return conv_bn_relu(x, state, names(place), stride)

    found = {"conv1": unit(x, "1a", 2)}
    x = max_pool(found["conv1"], (1, 3), (1, 2))
    found["conv2"] = x = unit(unit(x, "2b"), "2c")
    for place in WIDTHS:
        if place.endswith("b"):
            x = max_pool(x, *POOLS[place[0]])
        branches = [
            unit(x, f"{place}.b0"),
            unit(unit(x, f"{place}.b1a"), f"{place}.b1b"),
            unit(unit(x, f"{place}.b2a"), f"{place}.b2b"),
            unit(max_pool(x, (3, 3), (1, 1)), f"{place}.b3b"),
        ]
        found[f"mixed{place[0]}"] = x = torch.cat(branches, dim=1)
    return found
