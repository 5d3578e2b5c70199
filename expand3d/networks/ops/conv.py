"""The channel-wise convolution that trains fast on a CPU, in plain torch.

oneDNN runs 2D channel-wise convolutions in channels-last memory with kernels of their own, forward
and backward, but differentiates 3D ones with generic code, about ten times slower. In that memory
N x C x T x H x W is N*T images without a copy, so one temporal tap of a 3D kernel is a 2D
convolution over shifted frames, and the gradients are sums over taps. At stride 1 the gradient of
the input is itself a convolution, with the kernel mirrored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from expand3d.networks.ops import compiled as kernels
from expand3d.networks.ops.gpu import HAS_TRITON, channelwise_autocast
from expand3d.networks.ops.untouched import never_ours, transformed

#: Gradients are summed over pieces of the input of about this size: the temporaries of one stay in
#: the cache, and short sums round less.
PIECE_BYTES = 2**22
#: Fewer frames than this, of all clips together, pass through torch's operators in inference.
FRAMES = 8
#: From so many channels on both sides a matrix product was faster than oneDNN's convolution (MKL on
#: an AMD EPYC with AVX2; below, either was at times), and up to so many rows whatever the channels.
WIDE, ROWS = 96, 2**12


class ChannelwiseConv3d(nn.Conv3d):
    """nn.Conv3d with one group per channel and no bias, fast on a CPU, above all in training.

    Kernels are odd; padding keeps the frames, and a stride is one over space, which temporal ones
    (k x 1 x 1) have not. ValueError where they are others. Parameters, state dict and results are
    nn.Conv3d's; so is the operator itself under tracing, so that an export or a count of operators
    sees nothing else, under autocast on a CPU, and where a setting was changed afterwards. A GPU
    has an operator of its own where Triton is installed (expand3d.networks.ops.gpu).
    """

    def __init__(self, channels: int, kernel: tuple[int, int, int], *, stride: int = 1) -> None:
        if any(side % 2 == 0 for side in kernel):
            raise ValueError(f"kernel {kernel}: odd sizes are padded so that all frames are kept")
        if stride != 1 and kernel[1:] == (1, 1):
            raise ValueError(f"stride {stride}: a temporal kernel has no spatial stride")
        super().__init__(
            channels,
            channels,
            kernel,
            stride=(1, stride, stride),
            padding=(kernel[0] // 2, kernel[1] // 2, kernel[2] // 2),
            groups=channels,
            bias=False,
        )

    def forward(self, x: Tensor) -> Tensor:
        if not self._as_made():
            return super().forward(x)
        if _on_triton(x):
            return channelwise_autocast(x, self.weight, self.stride[1])
        if never_ours(x) or (_few(x) and not _looped(x, self.weight)):
            return super().forward(x)
        x = x.contiguous(memory_format=torch.channels_last_3d)
        out: Tensor = _Channelwise.apply(x, self.weight, self.stride[1])
        return out

    def is_spatial(self, channels: int) -> bool:
        """True where it is 3x3x3, of so many channels, and strides are 1 or 2 over space."""
        weight = self._parameters["weight"]
        return (
            weight is not None
            and weight.shape == (channels, 1, 3, 3, 3)
            and self.stride in ((1, 1, 1), (1, 2, 2))
            and self._as_made()
        )

    def _as_made(self) -> bool:
        """True where the settings are still those that the constructor gives."""
        (taps, height, width), stride = self.kernel_size, self.stride[-1]
        return (
            self.stride == (1, stride, stride)
            and (stride == 1 or (height, width) != (1, 1))
            and self.padding == (taps // 2, height // 2, width // 2)
            and self.dilation == (1, 1, 1)
            and self.padding_mode == "zeros"
            and self.groups == self.in_channels == self.out_channels
            and self.bias is None
        )


class FramewiseConv3d(nn.Conv3d):
    """nn.Conv3d whose kernel spans one frame, on a CPU as a 2D convolution over all frames.

    oneDNN has fast 2D kernels for channels-last memory, forward and backward; torch's way for such
    3D kernels unfolds the input and multiplies. Arguments, parameters, state dict and results are
    nn.Conv3d's, and so is the operator elsewhere and for arguments that 2D convolutions lack.
    """

    def forward(self, x: Tensor) -> Tensor:
        if never_ours(x) or not (self.kernel_size == (1, 1, 1) or self._framewise()):
            return super().forward(x)
        if self.kernel_size == (1, 1, 1) and self.groups == 1:
            return pointwise(strided(_padded(x, self), self), self.weight, self.bias)
        if _few(x):
            return super().forward(x)
        weight = self.weight[:, :, 0]
        if self.kernel_size == (1, 1, 1):
            x = strided(_padded(x, self), self)
            return from_rows(F.conv2d(rows(x), weight, self.bias, groups=self.groups), x.shape)
        t, h, w = self.stride
        x = x[:, :, ::t].contiguous(memory_format=torch.channels_last_3d)
        padding = self.padding[1:]
        images = F.conv2d(_images(x), weight, self.bias, (h, w), padding, groups=self.groups)
        return images.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)

    def _framewise(self) -> bool:
        """True where it reads frame by frame, and zeros around them."""
        zeros = self.padding_mode == "zeros" and not isinstance(self.padding, str)
        alone = self.kernel_size[0] == 1 and self.padding[0] == 0
        return zeros and alone and self.dilation == (1, 1, 1)


def _padded(x: Tensor, conv: nn.Conv3d) -> Tensor:
    """NCTHW `x` with what a 1x1x1 `conv` pads it by; "same" and "valid" are nothing."""
    if isinstance(conv.padding, str) or not any(conv.padding):
        return x
    t, h, w = conv.padding
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    return F.pad(x, (w, w, h, h, t, t), mode)


def strided(x: Tensor, conv: nn.Conv3d) -> Tensor:
    """The part of NCTHW `x` that a 1x1x1 `conv` reads, channels-last.

    Sliced first: the backward pass of a strided 1x1 convolution corrupts memory (torch 2.13).
    """
    t, h, w = conv.stride
    if (t, h, w) != (1, 1, 1):
        x = x[:, :, ::t, ::h, ::w]
    return x.contiguous(memory_format=torch.channels_last_3d)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1x1x1 convolution, O x I x 1 x 1 x 1, of channels-last NCTHW `x`."""
    if places(x) == 1:
        return F.linear(x.flatten(1), weight.flatten(1), bias)[..., None, None, None]
    if _multiplied(x, weight):
        return F.linear(x.permute(0, 2, 3, 4, 1), weight.flatten(1), bias).permute(0, 4, 1, 2, 3)
    return from_rows(F.conv2d(rows(x), weight[:, :, 0], bias), x.shape)


def pointwise_backward(grad: Tensor, x: Tensor, weight: Tensor, *, of_input: bool) -> Tensor:
    """The gradient of the input of `pointwise` or of its weight; of `x` the former takes the shape.

    Both tensors are channels-last.
    """
    if _multiplied(x, weight):
        grads = grad.permute(0, 2, 3, 4, 1)
        if of_input:
            return (grads @ weight.flatten(1)).permute(0, 4, 1, 2, 3)
        flat = grads.flatten(0, 3).t() @ x.permute(0, 2, 3, 4, 1).flatten(0, 3)
        return flat[..., None, None, None]
    zeros, ones, wanted = [0, 0], [1, 1], [of_input, not of_input, False]
    settings = (None, ones, zeros, ones, False, zeros, 1, wanted)
    found = torch.ops.aten.convolution_backward(rows(grad), rows(x), weight[:, :, 0], *settings)
    return from_rows(found[0], x.shape) if of_input else found[1].unsqueeze(2)


def is_pointwise(
    conv: nn.Conv3d, inputs: int, outputs: int, *, bias: bool = False, strides: bool = False
) -> bool:
    """True where `conv` is a 1x1x1 convolution of such channels, with a bias or strides as said."""
    weight = conv._parameters["weight"]
    return (
        weight is not None
        and weight.shape == (outputs, inputs, 1, 1, 1)
        and conv.groups == 1
        and conv.padding == (0, 0, 0)
        and (conv._parameters["bias"] is not None) == bias
        and (strides or conv.stride == (1, 1, 1))
    )


def _multiplied(x: Tensor, weight: Tensor) -> bool:
    """True where a 1x1x1 convolution of NCTHW `x` is a matrix product, which is faster."""
    return min(weight.shape[:2]) >= WIDE or len(x) * places(x) <= ROWS


def places(x: Tensor) -> int:
    """T x H x W of NCTHW `x`."""
    return x.shape[2] * x.shape[3] * x.shape[4]


def pointwise_pair(x: Tensor, dense: nn.Conv3d, sparse: nn.Conv3d) -> tuple[Tensor, Tensor]:
    """Two 1x1x1 convolutions of NCTHW `x` without bias, of which `sparse` has strides.

    As two operators, autograd would fill a tensor of the size of `x` with what is mostly zeros.
    """
    x = x.contiguous(memory_format=torch.channels_last_3d)
    out: tuple[Tensor, Tensor] = _Pair.apply(x, dense.weight, sparse.weight, sparse)
    return out


class _Pair(torch.autograd.Function):
    """`pointwise_pair` of channels-last input."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dense: Tensor, sparse: Tensor, conv: nn.Conv3d
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, dense, sparse)
        ctx.conv = conv
        return pointwise(x, dense), pointwise(strided(x, conv), sparse)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor, other: Tensor) -> tuple[Tensor | None, ...]:
        x, dense, sparse = ctx.saved_tensors
        layout = torch.channels_last_3d
        grad, other = grad.contiguous(memory_format=layout), other.contiguous(memory_format=layout)
        read = strided(x, ctx.conv)
        t, h, w = ctx.conv.stride
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = pointwise_backward(grad, x, dense, of_input=True)
            grad_x[:, :, ::t, ::h, ::w] += pointwise_backward(other, read, sparse, of_input=True)
        of_weights = (
            pointwise_backward(grad, x, dense, of_input=False),
            pointwise_backward(other, read, sparse, of_input=False),
        )
        return grad_x, *of_weights, None


def rows(x: Tensor) -> Tensor:
    """N x C x T x H x W as N*T*H x C x 1 x W: enough images for torch to choose oneDNN."""
    return x.permute(0, 2, 3, 4, 1).flatten(0, 2).unsqueeze(1).permute(0, 3, 1, 2)


def from_rows(y: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `rows`: N x C x T x H x W with N, T, H, W of `shape`."""
    return y.permute(0, 2, 3, 1).reshape(shape[0], *shape[2:], -1).permute(0, 4, 1, 2, 3)


def plain(x: Tensor) -> bool:
    """True where torch's own operators are to be used on NCTHW `x`.

    So it is where nothing is ever ours, and in inference on few frames, for which one call a layer
    is faster than several.
    """
    return never_ours(x) or _few(x)


def _few(x: Tensor) -> bool:
    return not torch.is_grad_enabled() and x.shape[0] * x.shape[2] < FRAMES


class _Channelwise(torch.autograd.Function):
    """The convolution of channels-last input with stride (1, s, s)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return _convolve(x, weight, stride)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, _ = ctx.needs_input_grad
        grad = grad.contiguous(memory_format=torch.channels_last_3d)
        if _looped(x, weight):
            return *_temporal_backward(grad, x, weight), None
        grad_x = grad_weight = scattered = None
        if wants_x and ctx.stride == 1:
            grad_x = _convolve(grad, weight.flip(2, 3, 4), 1)
        elif wants_x:
            grad_x = scattered = torch.zeros_like(x)
        if wants_weight:
            grad_weight = torch.zeros_like(weight)
        if grad_weight is not None or scattered is not None:
            _add_gradients(grad, x, weight, ctx.stride, grad_weight, scattered)
        return grad_x, grad_weight, None


def _on_triton(x: Tensor) -> bool:
    """True where a GPU's own operator convolves `x`; a symbolic trace has no tensor."""
    on_gpu = isinstance(x, Tensor) and x.device.type == "cuda" and HAS_TRITON
    return on_gpu and not torch.jit.is_tracing() and not transformed()


def _convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    channels, _, taps, *spatial = weight.shape
    if spatial != [1, 1]:
        padding = [taps // 2, spatial[0] // 2, spatial[1] // 2]
        return F.conv3d(x, weight, None, (1, stride, stride), padding, 1, channels)
    if _looped(x, weight):
        out = torch.empty_like(x)
        arguments = (x, _by_tap(weight), out)
        kernels.call("temporal", *arguments, clips=len(x), sizes=_temporal_sizes(x, taps))
        return out
    plane = x.permute(0, 2, 3, 4, 1).flatten(2, 3).permute(0, 3, 1, 2)  # N x C x T x H*W
    plane = F.conv2d(plane, weight[..., 0], None, 1, (taps // 2, 0), 1, channels)
    return plane.unflatten(3, x.shape[3:])


def _looped(x: Tensor, weight: Tensor) -> bool:
    """True where compiled loops convolve over time alone."""
    over_time = weight.shape[3:] == (1, 1)
    return over_time and x.dtype == weight.dtype == torch.float32 and kernels.available()


def _temporal_backward(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    taps = weight.shape[2]
    grad_x = torch.empty_like(x)
    shape = (len(x), taps, len(weight))
    sums = torch.zeros(shape, dtype=torch.float64, device=x.device)
    arguments = (x, _by_tap(weight), grad, grad_x, sums)
    kernels.call("temporal_backward", *arguments, clips=len(x), sizes=_temporal_sizes(x, taps))
    return grad_x, sums.sum(0).t().to(weight.dtype).reshape(weight.shape)


def _temporal_sizes(x: Tensor, taps: int) -> tuple[int, ...]:
    return x.shape[2], x.shape[3] * x.shape[4], x.shape[1], taps


def _by_tap(weight: Tensor) -> Tensor:
    """C x 1 x taps x 1 x 1 as taps x C."""
    return weight.detach().flatten(1).t().contiguous()


def _add_gradients(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: int,
    grad_weight: Tensor | None,
    grad_x: Tensor | None,
) -> None:
    """Add the gradients of the weight and of the input to those that are given."""
    taps, *spatial = weight.shape[2:]
    for clips, outputs, inputs, tap in _pieces(x, taps):
        part = grad[clips, :, outputs], x[clips, :, inputs]
        if spatial == [1, 1]:
            assert grad_weight is not None and grad_x is None  # stride 1
            grad_weight[:, 0, tap, 0, 0] += (part[0] * part[1]).sum(dim=(0, 2, 3, 4))
            continue
        part_x, part_weight, _ = torch.ops.aten.convolution_backward(
            _images(part[0]),
            _images(part[1]),
            weight[:, :, tap],
            None,
            [stride, stride],
            [size // 2 for size in spatial],
            [1, 1],
            False,
            [0, 0],
            len(weight),
            [grad_x is not None, grad_weight is not None, False],
        )
        if grad_weight is not None:
            grad_weight[:, :, tap] += part_weight
        if grad_x is not None:
            shape = (len(part[1]), -1)
            grad_x[clips, :, inputs] += part_x.unflatten(0, shape).transpose(1, 2)


def _pieces(x: Tensor, taps: int) -> Iterator[tuple[slice, slice, slice, int]]:
    """Clips, output frames and the input frames that one tap joins to them, piece by piece."""
    clips, frames = x.shape[0], x.shape[2]
    frame_bytes = x[0, :, 0].numel() * x.element_size()
    step = max(1, PIECE_BYTES // (frames * frame_bytes))
    window = frames if step > 1 else max(1, PIECE_BYTES // frame_bytes)
    for clip in range(0, clips, step):
        for start in range(0, frames, window):
            for tap in range(taps):
                shift = tap - taps // 2  # output frame t reads input frame t + shift
                first, last = max(start, -shift), min(start + window, frames, frames - shift)
                if first < last:
                    yield (
                        slice(clip, clip + step),
                        slice(first, last),
                        slice(first + shift, last + shift),
                        tap,
                    )


def _images(x: Tensor) -> Tensor:
    """N x C x T x H x W as N*T x C x H x W, both channels-last; copied only if T was sliced."""
    return x.permute(0, 2, 3, 4, 1).flatten(0, 1).permute(0, 3, 1, 2)
