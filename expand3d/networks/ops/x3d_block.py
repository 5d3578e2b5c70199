"""X3D's block on a CPU by compiled loops: what stands between its 1x1x1 convolutions in few passes.

A block spends most of its time moving tensors of its inner width through memory. Here BatchNorm and
ReLU are applied while the channel-wise convolution reads its input, BatchNorm, SE's product and
Swish are one pass, and so are their gradients; for the backward pass only the outputs of the first
1x1x1 and of the channel-wise convolution are kept. Sums over a batch end in float64.

The gradient of BatchNorm is that of Ioffe and Szegedy (2015), section 3: with x' = (x - mean) / std
and y = w x' + b, the gradient of x is w / std (g - mean(g) - x' mean(g x')).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from expand3d.networks.ops import compiled as kernels
from expand3d.networks.ops import conv as ops
from expand3d.networks.ops.norm import update_running

_LAYOUT = torch.channels_last_3d
#: Where a mean is more standard deviations than this from the origin of the squares, their sum has
#: lost the variance's last digits to the mean's, as many as FAR squared has; they are summed anew.
FAR = 4.0


def usable(x: Tensor, *norms: nn.Module) -> bool:
    """True where the loops compute what follows NCTHW `x` through `norms`, which are untouched.

    They take float32 on a CPU, in training, or without gradients in eval mode.
    """
    if ops.never_ours(x) or x.dtype != torch.float32 or not kernels.available():
        return False
    if all(norm.training for norm in norms):
        return True
    return not torch.is_grad_enabled() and not any(norm.training for norm in norms)


def require_batch(shape: Sequence[int]) -> None:
    """ValueError, in torch's words, where training gives BatchNorm a clip NCTHW of one place."""
    if shape[0] * math.prod(shape[2:]) == 1:
        raise ValueError(
            "Expected more than 1 value per channel when training, got input size "
            f"{torch.Size(shape)}"
        )


def norm_relu(x: Tensor, norm: nn.BatchNorm3d, residual: Tensor | None = None) -> Tensor:
    """ReLU of what `norm` makes of NCTHW `x`, plus `residual` of the same shape before it."""
    x = x.contiguous(memory_format=_LAYOUT)
    if residual is not None:
        residual = residual.expand_as(x).contiguous(memory_format=_LAYOUT)
    if not norm.training:
        out, sizes = _like(x), (ops.places(x), x.shape[1])
        kernels.call("infer_relu", x, *_frozen(norm), residual, out, clips=len(x), sizes=sizes)
        return out
    y: Tensor = _NormRelu.apply(x, norm.weight, norm.bias, residual, _stats_of(x, norm))
    return y


def pointwise_norm(x: Tensor, conv: nn.Conv3d, norm: nn.BatchNorm3d) -> Tensor:
    """A 1x1x1 convolution without bias and the `norm` after it, in eval mode: one convolution."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps) * norm.weight
    shift = norm.bias - norm.running_mean * scale
    weight = conv.weight * scale[:, None, None, None, None]
    return ops.pointwise(ops.strided(x, conv), weight, shift)


def inner(
    x: Tensor,
    norm: nn.BatchNorm3d,
    channelwise: nn.Conv3d,
    channelwise_norm: nn.BatchNorm3d,
    gate: Any,
    project: Tensor,
) -> Tensor:
    """From the output of a block's first 1x1x1 convolution to that of its last, both NCTHW.

    BatchNorm, ReLU, the 3x3x3 convolution, BatchNorm, the factor of `gate`, a SqueezeExcite or
    None, Swish, and `project`, O x C x 1 x 1 x 1.
    """
    x = x.contiguous(memory_format=_LAYOUT)
    if not norm.training:
        return _infer(x, norm, channelwise, channelwise_norm, gate, project)
    settings = (channelwise.stride[1], channelwise_norm)
    learned = (norm, channelwise, channelwise_norm)
    tensors = [each for module in learned for each in module.parameters()]
    factors = _layers(gate) if gate is not None else ()
    out: Tensor = _Inner.apply(x, _stats_of(x, norm), settings, project, *tensors, *factors)
    return out


def _layers(gate: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weight and bias of a SqueezeExcite's two layers."""
    return gate.squeeze.weight, gate.squeeze.bias, gate.excite.weight, gate.excite.bias


def _gate(pooled: Tensor, layers: Sequence[Tensor]) -> Tensor:
    """SqueezeExcite's factor of N x C means, without its modules."""
    squeeze, squeeze_bias, excite, excite_bias = layers
    hidden = torch.relu(F.linear(pooled, squeeze.flatten(1), squeeze_bias))
    return torch.sigmoid(F.linear(hidden, excite.flatten(1), excite_bias))


class _Stats(NamedTuple):
    """A BatchNorm's moments, 1 / standard deviation, and y = scale * x + shift, C numbers each."""

    mean: Tensor  # float64, like inverse
    inverse: Tensor
    scale: Tensor
    shift: Tensor


@torch.no_grad()
def _stats_of(x: Tensor, norm: nn.BatchNorm3d) -> _Stats:
    """The statistics of the batch, which the running ones learn of."""
    require_batch(x.shape)
    # Sums of differences from some value of the channel: mostly near enough to the mean.
    origin = x[0, :, 0, 0, 0].contiguous()
    _, mean, var = _moments(x, origin, *_sums_from(x, origin))
    update_running(norm, mean, var, len(x) * ops.places(x))
    return _stats(norm, mean, var)


def _sums_from(x: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
    """Sums and squares of x - origin, per clip and channel."""
    sums, squares = _sums(x), _sums(x)
    sizes = (ops.places(x), x.shape[1])
    kernels.call("moments", x, origin, sums, squares, clips=len(x), sizes=sizes)
    return sums, squares


def _moments(
    x: Tensor, origin: Tensor | None, sums: Tensor, squares: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Means per clip and channel, and per channel mean and biased variance of `x`, in float64.

    `sums` and `squares` are those of x - origin; None stands for 0.
    """
    means, mean, var = _combined(x, sums, squares)
    if not x.is_meta and bool((mean * mean > FAR**2 * var).any()):
        origin = (mean if origin is None else mean + origin).float()
        means, mean, var = _combined(x, *_sums_from(x, origin))
    if origin is not None:
        means, mean = means + origin, mean + origin
    return means, mean, var.clamp_min(0)


def _combined(x: Tensor, sums: Tensor, squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means per clip and channel, mean and variance per channel, of what was summed."""
    means = sums / ops.places(x)
    mean = means.mean(0)
    return means, mean, squares.sum(0) / (len(x) * ops.places(x)) - mean * mean


def _stats(norm: nn.BatchNorm3d, mean: Tensor, var: Tensor) -> _Stats:
    inverse = torch.rsqrt(var + norm.eps)
    scale = norm.weight.double() * inverse
    shift = norm.bias.double() - mean * scale
    return _Stats(mean, inverse, scale.float(), shift.float())


def _frozen(norm: nn.BatchNorm3d) -> tuple[Tensor | None, ...]:
    """The tensors and the epsilon of `norm` that a loop needs in eval mode."""
    return norm.weight, norm.bias, norm.running_mean, norm.running_var, _epsilon(norm.eps)


@functools.cache
def _epsilon(value: float) -> Tensor:
    # Whatever device and type are torch's defaults at the first call.
    return torch.tensor([value], dtype=torch.float32, device="cpu")


def _sums(x: Tensor) -> Tensor:
    """Room for float64 sums per clip and channel."""
    return torch.zeros(x.shape[:2], dtype=torch.float64, device=x.device)


def _like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=_LAYOUT)


def _norm_relu(x: Tensor, scale: Tensor, shift: Tensor, residual: Tensor | None) -> Tensor:
    """relu(scale * x + shift + residual)."""
    out, sizes = _like(x), (ops.places(x), x.shape[1])
    kernels.call("norm_relu", x, scale, shift, residual, out, clips=len(x), sizes=sizes)
    return out


def _convolve(
    x: Tensor, scale: Tensor, shift: Tensor, taps: Tensor, stride: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The channel-wise convolution of relu(scale * x + shift), with its sums and squares."""
    y, sums, squares = _room(x, stride), _sums(x), _sums(x)
    arguments = (x, scale, shift, taps, y, sums, squares)
    sizes = (*x.shape[2:], x.shape[1], stride)
    kernels.call("channelwise", *arguments, clips=len(x), sizes=sizes)
    return y, sums, squares


def strided_shape(shape: Sequence[int], stride: int) -> tuple[int, ...]:
    """The shape of NCTHW behind a convolution with `stride` over space that keeps the rest."""
    return (*shape[:3], *((side - 1) // stride + 1 for side in shape[3:]))


def _room(x: Tensor, stride: int) -> Tensor:
    """Room for a convolution's output."""
    shape = strided_shape(x.shape, stride)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_LAYOUT)


def _norm_swish(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Swish of scale * x + shift, which are given per clip and channel."""
    out, sizes = _like(x), (ops.places(x), x.shape[1])
    kernels.call("norm_swish", x, scale, shift, out, clips=len(x), sizes=sizes)
    return out


def _infer(
    x: Tensor,
    norm: nn.BatchNorm3d,
    channelwise: nn.Conv3d,
    channelwise_norm: nn.BatchNorm3d,
    gate: Any,
    project: Tensor,
) -> Tensor:
    """`inner` in eval mode, where no gradient is wanted."""
    stride = channelwise.stride[1]
    y, hidden = _room(x, stride), 0
    learned: tuple[Tensor | None, ...] = (None,) * 4
    if gate is not None:
        hidden = len(gate.squeeze.weight)
        learned = tuple(each.flatten().contiguous() for each in _layers(gate))
    arguments = (
        *(x, *_frozen(norm), channelwise.weight.flatten(1).contiguous()),
        *(*_frozen(channelwise_norm), *learned, y),
    )
    sizes = (*x.shape[2:], x.shape[1], stride, hidden)
    kernels.call("infer", *arguments, clips=len(x), sizes=sizes)
    return ops.pointwise(y, project)


class _NormRelu(torch.autograd.Function):
    """relu(norm(x) + residual) with the moments of `x` given; gradients know they depend on it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, stats: _Stats
    ) -> Tensor:
        out = _norm_relu(x, stats.scale, stats.shift, residual)
        ctx.save_for_backward(x, out, weight, stats.mean, stats.inverse)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, out, weight, mean, inverse = ctx.saved_tensors
        clips, sizes = len(x), (ops.places(x), x.shape[1])
        masked, total, product = _like(x), _sums(x), _sums(x)
        grad = grad.contiguous(memory_format=_LAYOUT)
        floats = mean.float()
        arguments = (grad, out, x, floats, masked, total, product)
        kernels.call("relu_backward", *arguments, clips=clips, sizes=sizes)
        grad_bias, grad_weight = total.sum(0), product.sum(0) * inverse
        # The gradient of a residual is the masked one itself.
        with_residual = ctx.needs_input_grad[3]
        grad_x = _like(x) if with_residual else masked
        _norm_backward(masked, x, floats, weight, inverse, grad_bias, grad_weight, grad_x)
        affine = grad_weight.float(), grad_bias.float()
        return grad_x, *affine, masked if with_residual else None, None


def _norm_backward(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    weight: Tensor,
    inverse: Tensor,
    grad_bias: Tensor,
    grad_weight: Tensor,
    out: Tensor,
) -> None:
    """Write to `out` the gradient of BatchNorm's input, `grad` being that of its output."""
    rows = x.numel() // x.shape[1]
    c1 = weight.double() * inverse
    c2, c3 = -c1 * inverse * grad_weight / rows, -c1 * grad_bias / rows
    arguments = (grad, x, mean, c1.float(), c2.float(), c3.float(), out)
    kernels.call("norm_backward", *arguments, clips=len(x), sizes=(ops.places(x), x.shape[1]))


class _Inner(torch.autograd.Function):
    """`inner`, given the moments of its input."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        stats: _Stats,
        settings: tuple[int, nn.BatchNorm3d],
        project: Tensor,
        *learned: Tensor,
    ) -> Tensor:
        stride, norm = settings
        norm_weight, _, kernel, weight, bias, *factors = learned
        taps = _taps(kernel)
        y, sums, squares = _convolve(x, stats.scale, stats.shift, taps, stride)
        clips, places = len(y), ops.places(y)
        means, mean, var = _moments(y, None, sums, squares)
        update_running(norm, mean, var, clips * places)
        after = _stats(norm, mean, var)
        pooled = (means * weight.double() * after.inverse).float()
        pooled = pooled + (bias.double() - mean * weight.double() * after.inverse).float()
        opened: Tensor | None = None
        if factors:
            # SE works on a number per clip and channel; autograd keeps its own small graph, of
            # leaves that have no hooks: those of the parameters run once, behind this function.
            wanted = any(ctx.needs_input_grad)
            factors = [each.detach().requires_grad_(wanted) for each in factors]
            with torch.set_grad_enabled(wanted):
                opened = _gate(pooled.requires_grad_(wanted), factors)
        factor = opened.detach() if opened is not None else torch.ones_like(pooled)
        scale, shift = after.scale * factor, after.shift * factor
        swish = _norm_swish(y, scale, shift)
        ctx.graph = (pooled, opened, factors)
        ctx.stride = stride
        kept = (means, factor, scale, shift, project, taps, norm_weight, weight, bias)
        ctx.save_for_backward(x, y, *stats, *after, *kept)
        return ops.pointwise(swish, project)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, *rest = ctx.saved_tensors
        mean_x, inverse_x, scale_x, shift_x, mean, inverse, _, _, *rest = rest
        means, factor, scale, shift, project, taps, weight_x, weight, bias = rest
        clips, channels, frames, height, width = x.shape
        places = ops.places(y)
        rows = clips * places
        grad = grad.contiguous(memory_format=_LAYOUT)
        swish = _like(y)
        grad_y = ops.pointwise_backward(grad, swish, project, of_input=True)
        # oneDNN keeps the layout; what torch takes for few images need not.
        grad_y = grad_y.contiguous(memory_format=_LAYOUT)
        total, product, mean_float = _sums(y), _sums(y), mean.float()
        passed = (y, scale, shift, mean_float, grad_y, swish, total, product)
        kernels.call("norm_swish_backward", *passed, clips=clips, sizes=(places, channels))
        grad_project = ops.pointwise_backward(grad, swish, project, of_input=False)
        del swish

        # Of SE, whose input is the mean of what BatchNorm gives.
        w = weight.double() * inverse
        grad_pooled: Tensor = torch.zeros_like(total)
        grad_factors: list[Tensor] = []
        pooled, opened, factors = ctx.graph
        if opened is not None:
            grad_factor = (w * product + bias.double() * total).float()
            # Kept as long as this node is, which a caller may ask to go backward through again.
            inputs = [pooled, *factors]
            found = torch.autograd.grad(opened, inputs, grad_factor, retain_graph=True)
            grad_pooled, grad_factors = found[0].double(), list(found[1:])
        # Of BatchNorm: g = factor * grad_y + grad_pooled / places, summed per clip in closed form.
        gate = factor.double()
        grad_bias = (gate * total + grad_pooled).sum(0)
        grad_weight = inverse * (gate * product + grad_pooled * (means - mean)).sum(0)
        c1, c2 = w * gate, -w * inverse * grad_weight / rows
        c3 = w * (grad_pooled / places - grad_bias / rows)

        masked, total_x, product_x, mean_x_float = _like(x), _sums(x), _sums(x), mean_x.float()
        grad_taps = torch.zeros(clips, 27, channels, dtype=torch.float64, device=x.device)
        arguments = (
            *(x, scale_x, shift_x, mean_x_float, y, mean_float, grad_y),
            *(c1.float(), c2.float(), c3.float(), taps, masked, total_x, product_x, grad_taps),
        )
        sizes = (frames, height, width, channels, ctx.stride)
        kernels.call("channelwise_backward", *arguments, clips=clips, sizes=sizes)
        grad_kernel = grad_taps.sum(0).float().t().reshape(channels, 1, 3, 3, 3)
        bias_x, gain_x = total_x.sum(0), product_x.sum(0) * inverse_x
        _norm_backward(masked, x, mean_x_float, weight_x, inverse_x, bias_x, gain_x, masked)
        return (
            *(masked, None, None, grad_project, gain_x.float(), bias_x.float(), grad_kernel),
            *(grad_weight.float(), grad_bias.float(), *grad_factors),
        )


def _taps(kernel: Tensor) -> Tensor:
    """C x 1 x 3 x 3 x 3 as 27 x C."""
    return kernel.detach().reshape(len(kernel), 27).t().contiguous()
