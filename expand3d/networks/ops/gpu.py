"""The channel-wise convolution of a GPU as a torch operator that autograd and torch.compile know.

On an NVIDIA GPU with Triton its kernels run (expand3d.networks.ops.triton), anywhere else ATen's.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from expand3d.networks.ops import compiled as kernels

#: Whether Triton is installed, which torch brings to a machine with an NVIDIA GPU: 3.3 with torch
#: 2.7. The kernels are not known to compile with the one before.
HAS_TRITON = importlib.util.find_spec("triton") is not None and torch.__version__ >= "2.7"
#: The oldest GPU for which Triton compiles bfloat16: Ampere.
CAPABILITY = (8, 0)
_LAYOUT = torch.channels_last_3d


def channelwise_path(device: torch.device | str, *, autocast: bool = False) -> str:
    """The path of ChannelwiseConv3d there in float32, float16 or bfloat16, in a word.

    "triton": kernels of our own; "aten": torch's; "torch": `ops.conv`, in plain torch;
    "compiled": that, and X3D's blocks by compiled loops (expand3d.networks.ops.x3d_block).
    """
    device = torch.device(device)
    if device.type == "cpu":
        ours = "compiled" if kernels.available() else "torch"
        return "aten" if autocast else ours
    capable = device.type == "cuda" and HAS_TRITON and _capable(device)
    return "triton" if capable else "aten"


@functools.cache
def _capable(device: torch.device) -> bool:
    return torch.version.hip is None and torch.cuda.get_device_capability(device) >= CAPABILITY


def _kernels(x: Tensor, weight: Tensor, stride: int) -> ModuleType | None:
    """The Triton kernels if they compute this convolution here, else None."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1" and HAS_TRITON
    if channelwise_path(x.device) != "triton" and not interpreted:
        return None
    frames, *spatial = weight.shape[2:]
    known = frames % 2 == 1 and (spatial == [3, 3] or (spatial == [1, 1] and stride == 1))
    if not known or stride > 2 or x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return None
    from expand3d.networks.ops import triton as ops_triton

    return ops_triton


def channelwise_autocast(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """`channelwise_conv3d`, under autocast of `x` in autocast's type; the weight stays as it is."""
    kind = x.device.type
    if torch.is_autocast_enabled(kind) and x.dtype != torch.float64:
        x = x.to(torch.get_autocast_dtype(kind))
    y: Tensor = channelwise_conv3d(x, weight, stride)
    return y


@torch.library.custom_op(
    "expand3d::channelwise_conv3d",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, int stride) -> Tensor",
)
def channelwise_conv3d(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Channels-last N x C x T x H' x W' in the type of `x`: NCTHW `x` convolved channel by channel.

    `weight` is C x 1 x KT x KH x KW, odd, and may be float32 where `x` is not: a GPU under autocast
    then need not round it. Padding keeps the frames; the stride is (1, stride, stride).
    """
    x = x.contiguous(memory_format=_LAYOUT)
    kernels = _kernels(x, weight, stride)
    with _device(x):
        if kernels is not None:
            return kernels.convolve(x, weight, stride)
        y = torch.ops.aten.convolution(x, weight.to(x.dtype), None, *_geometry(weight, stride))
        return y.contiguous(memory_format=_LAYOUT)


@torch.library.custom_op(
    "expand3d::channelwise_conv3d_input_gradient",
    mutates_args=(),
    schema="(Tensor grad, Tensor x, Tensor weight, int stride) -> Tensor",
)
def _input_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    grad = grad.contiguous(memory_format=_LAYOUT)
    kernels = _kernels(grad, weight, stride)
    with _device(x):
        if kernels is not None:
            return kernels.input_gradient(grad, weight, x.shape[3:], stride)
        return _backward(grad, x, weight, stride, 0).contiguous(memory_format=_LAYOUT)


@torch.library.custom_op(
    "expand3d::channelwise_conv3d_weight_gradient",
    mutates_args=(),
    schema="(Tensor grad, Tensor x, Tensor weight, int stride) -> Tensor",
)
def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    grad, x = (tensor.contiguous(memory_format=_LAYOUT) for tensor in (grad, x))
    kernels = _kernels(grad, weight, stride)
    with _device(x):
        if kernels is not None:
            return kernels.weight_gradient(grad, x, weight, stride)
        return _backward(grad, x, weight, stride, 1).to(weight.dtype).contiguous()


def _device(x: Tensor) -> AbstractContextManager[Any]:
    """Triton launches on the current GPU, which need not be that of the tensors."""
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()


def _geometry(weight: Tensor, stride: int) -> tuple[Any, ...]:
    padding = [side // 2 for side in weight.shape[2:]]
    return [1, stride, stride], padding, [1, 1, 1], False, [0, 0, 0], len(weight)


def _backward(grad: Tensor, x: Tensor, weight: Tensor, stride: int, wanted: int) -> Tensor:
    mask = [wanted == place for place in range(3)]
    geometry = _geometry(weight, stride)
    weight = weight.to(x.dtype)
    gradient: Tensor = torch.ops.aten.convolution_backward(grad, x, weight, None, *geometry, mask)[
        wanted
    ]
    return gradient


@channelwise_conv3d.register_fake
def _(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    sides = [(side - 1) // stride + 1 for side in x.shape[3:]]
    return _empty(x, (*x.shape[:3], *sides))


@_input_gradient.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    return _empty(grad, x.shape)


@_weight_gradient.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    return weight.new_empty(weight.shape)


def _empty(x: Tensor, shape: Sequence[int]) -> Tensor:
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_LAYOUT)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
    x, weight, ctx.stride = inputs
    ctx.save_for_backward(x, weight)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    x, weight = ctx.saved_tensors
    wants_x, wants_weight, _ = ctx.needs_input_grad
    grad_x = _input_gradient(grad, x, weight, ctx.stride) if wants_x else None
    grad_weight = _weight_gradient(grad, x, weight, ctx.stride) if wants_weight else None
    return grad_x, grad_weight, None


channelwise_conv3d.register_autograd(_differentiate, setup_context=_keep)
