"""The second half of X3D's block on a CPU, keeping little for the backward pass, in plain torch.

What stands between the channel-wise convolution and the projection, BatchNorm, SE's product and
Swish, costs little to compute again, while each of its results is as large as any tensor of the
block. So of these only the convolution's output is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from expand3d.networks.ops import conv as ops
from expand3d.networks.ops.norm import batch_norm_moments, normalise


def norm_swish_project(
    x: Tensor, norm: nn.BatchNorm3d, gate: Callable[[Tensor], Tensor] | None, weight: Tensor
) -> Tensor:
    """`norm` of NCTHW `x`, times a gate, then Swish and a 1x1x1 convolution of N x O x T x H x W.

    `gate` makes a factor per clip and channel from their means, both N x C x 1 x 1 x 1. `weight` is
    O x C x 1 x 1 x 1.
    """
    y, moments = batch_norm_moments(x, norm)
    # torch's `mean` would write its gradient out at the size of y; that of a sum is a view.
    factor = gate(y.sum(dim=(2, 3, 4), keepdim=True) / y[0, 0].numel()) if gate else None
    source = None
    if moments is not None:
        source = (x.detach(), norm.weight.detach(), norm.bias.detach(), *moments, norm.eps)
    out: Tensor = _SwishProject.apply(y, factor, weight, source)
    return out


class _SwishProject(torch.autograd.Function):
    """Swish of x times its gate, projected; `source` says how batch_norm made x, where it did."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gate: Tensor | None, weight: Tensor, source: tuple[Any, ...] | None
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last_3d)
        if source is None:
            ctx.save_for_backward(gate, weight, x)
        else:
            *tensors, ctx.eps = source
            ctx.save_for_backward(gate, weight, *tensors)
        swish = F.silu(x) if gate is None else F.silu(x * gate, inplace=True)
        return ops.from_rows(F.conv2d(ops.rows(swish), weight[:, :, 0]), x.shape)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gate, weight, x, *source = ctx.saved_tensors
        wants_x, wants_gate, wants_weight, _ = ctx.needs_input_grad
        if source:
            norm_weight, norm_bias, mean, var = source
            x = normalise(x, norm_weight, norm_bias, mean, var, ctx.eps)
        gated = x if gate is None else x * gate
        part, grad_weight, _ = torch.ops.aten.convolution_backward(
            ops.rows(grad.contiguous(memory_format=torch.channels_last_3d)),
            ops.rows(F.silu(gated)),
            weight[:, :, 0],
            None,
            [1, 1],
            [0, 0],
            [1, 1],
            False,
            [0, 0],
            1,
            [wants_x or wants_gate, wants_weight, False],
        )
        grad_x = grad_gate = None
        if wants_x or wants_gate:
            grad_x = ops.from_rows(part, x.shape)
            torch.ops.aten.silu_backward.grad_input(grad_x, gated, grad_input=grad_x)
        if gate is not None and grad_x is not None:
            if wants_gate:
                grad_gate = torch.mul(grad_x, x, out=gated).sum(dim=(2, 3, 4), keepdim=True)
            grad_x *= gate
        return grad_x, grad_gate, grad_weight.unsqueeze(2) if wants_weight else None, None
