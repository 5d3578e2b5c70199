"""BatchNorm in training on a CPU: torch's, with mean and variance nearer to float64.

In channels-last memory torch adds up all rows of a channel one after the other in float32, and
every later layer inherits the error. Here neighbouring rows are read as one row of many more
channels, so that sums are short; what they give per channel is combined in float64 (Chan, Golub and
LeVeque 1983). It takes no longer: wide rows fill the vector registers better than narrow ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from expand3d.networks.ops import conv as ops
from expand3d.networks.ops.untouched import untouched_norm

#: Below so many rows torch's sums are short enough, and our calls would take longer than the work.
ROWS = 512
#: At most so many sums per channel.
SUMS = 32

Moments = tuple[Tensor, Tensor]


def batch_norm(x: Tensor, norm: nn.Module) -> Tensor:
    """NCTHW `x` normalised by `norm`; in training it updates the running statistics.

    Whatever stands in a BatchNorm's place, or is not as `nn.BatchNorm3d(channels)` makes it, is
    called.
    """
    return batch_norm_moments(x, norm)[0]


def batch_norm_moments(x: Tensor, norm: nn.Module) -> tuple[Tensor, Moments | None]:
    """`batch_norm`, and mean and biased variance per channel if torch did not take them."""
    ours = norm.training and not ops.plain(x) and untouched_norm(x, norm, x.shape[1])
    rows = x.numel() // x.shape[1] if ours else 0
    if rows < ROWS:
        return norm(x), None
    assert isinstance(norm, nn.BatchNorm3d)
    x = x.contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        mean, var = moments(x)
        update_running(norm, mean, var, rows)
    y: Tensor = _Normalise.apply(x, norm.weight, norm.bias, mean, var, norm.eps)
    return y, (mean, var)


def update_running(norm: nn.BatchNorm3d, mean: Tensor, var: Tensor, rows: int) -> None:
    """Take a batch's mean and biased variance over `rows` numbers into the running statistics."""
    assert norm.momentum is not None and norm.running_mean is not None
    assert norm.running_var is not None and norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
    unbiased = (var * (rows / (rows - 1))).to(norm.running_var.dtype)
    norm.running_var.lerp_(unbiased, norm.momentum)


def moments(x: Tensor) -> Moments:
    """Mean and biased variance of each channel of channels-last NCTHW `x`."""
    rows, channels = x.numel() // x.shape[1], x.shape[1]
    if x.is_meta:  # for which torch has no batch_norm_update_stats
        return x.new_empty(channels), x.new_empty(channels)
    sums = max(size for size in range(1, SUMS + 1) if rows % size == 0)
    wide = x.permute(0, 2, 3, 4, 1).reshape(1, rows // sums, 1, sums * channels)
    mean, var = torch.batch_norm_update_stats(wide.permute(0, 3, 1, 2), None, None, 0.0)
    parts, spread = mean.view(sums, channels).double(), var.view(sums, channels)
    mean = parts.mean(0)
    parts -= mean
    return mean.to(x.dtype), torch.addcmul(spread, parts, parts).mean(0).to(x.dtype)


def normalise(
    x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float
) -> Tensor:
    """BatchNorm of `x` with mean and biased variance given, each C numbers."""
    return torch.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)[0]


class _Normalise(torch.autograd.Function):
    """BatchNorm with the moments of `x` given; its gradient takes them for functions of `x`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(var + eps))
        ctx.eps = eps
        return normalise(x, weight, bias, mean, var, eps)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, invstd = ctx.saved_tensors
        gradients = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, None, None, mean, invstd, True, ctx.eps, ctx.needs_input_grad[:3]
        )
        return (*gradients, None, None, None)
