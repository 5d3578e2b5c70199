"""The torch modules of the layers in `layers.py`, under the same names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from expand3d.core.errors import FactorError
from expand3d.networks.layers import describe as L
from expand3d.networks.layers import motion as M
from expand3d.networks.layers import motion_modules, stream_modules
from expand3d.networks.layers import pathway_modules as pathways_net
from expand3d.networks.layers import pathways as P
from expand3d.networks.layers import streams as S
from expand3d.networks.ops.conv import ChannelwiseConv3d, FramewiseConv3d

_Triple = tuple[int, ...]


def build(layers: L.Layer, inputs: tuple[L.Shape, ...]) -> nn.Module:
    """The network of `layers` for inputs of these shapes, freshly initialised.

    It maps float N x C x T x H x W, one of each input, to logits N x num_classes.
    """
    network: nn.Module
    if isinstance(layers, S.Streams):
        each = zip(layers.streams, inputs, strict=True)
        streams = [(name, build(stream, (clip,))) for (name, stream), clip in each]
        return stream_modules.Streams(streams, layers.weights, of=layers.of)
    if isinstance(layers, S.Fused):
        return _fused(layers, inputs)
    (clip,) = inputs
    module, _ = _module(layers, clip)
    assert isinstance(module, nn.Sequential)
    network = Network(module.named_children(), L.smallest(layers, channels=clip.channels))
    network.apply(_initialise)
    return network


def _fused(layers: S.Fused, inputs: tuple[L.Shape, ...]) -> nn.Module:
    towers, shapes = [], []
    for (name, tower), clip in zip(layers.towers, inputs, strict=True):
        module, behind = _module(tower, clip)
        towers.append((name, module))
        shapes.append(behind)
    one, two = shapes
    joined = layers.fuse.trace((one, two), "", [])
    network = stream_modules.Fused(
        towers,
        stream_modules.Fuse(layers.fuse.rule),
        _module(layers.head, joined)[0],
        _module(layers.second_head, two)[0] if layers.second_head else None,
    )
    return network.apply(_initialise)


class Network(nn.Sequential):
    """The stages of a network in a row; FactorError where a clip is smaller than they can read."""

    def __init__(self, stages: Iterable[tuple[str, nn.Module]], smallest: tuple[int, int]) -> None:
        super().__init__(OrderedDict(stages))
        self.smallest = smallest

    def forward(self, x: Tensor) -> Tensor:
        frames, side = self.smallest
        if x.shape[2] < frames or min(x.shape[3:]) < side:
            given = " x ".join(str(size) for size in x.shape[2:])
            raise FactorError(
                f"a clip of {given} (frames, height, width) is too small for this network; "
                f"the smallest is {frames} x {side} x {side}"
            )
        return super().forward(x)


class SameConv3d(nn.Conv3d):
    """A convolution that pads as TensorFlow's "same" does: only what it must, more at the end."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_pad_same(x, self.kernel_size, self.stride))


class SameMaxPool3d(nn.Module):
    """Max pooling with TensorFlow's "same" padding; the inputs are not negative, so zeros pad."""

    def __init__(self, kernel: _Triple, stride: _Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(_pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class AvgPoolWithin(nn.Module):
    """Average pooling whose window spans no more frames than the clip has."""

    def __init__(self, kernel: _Triple, stride: _Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        frames = min(self.kernel[0], x.shape[2])
        return F.avg_pool3d(x, (frames, *self.kernel[1:]), self.stride)


def _pad_same(x: Tensor, kernel: _Triple, stride: _Triple) -> Tensor:
    padding: list[int] = []
    for size, window, step in zip(x.shape[2:], kernel, stride, strict=True):
        wanted = max(0, (-(-size // step) - 1) * step + window - size)
        padding = [wanted // 2, wanted - wanted // 2, *padding]  # F.pad begins with the last
    return F.pad(x, padding) if any(padding) else x


class Residual(nn.Module):
    """relu(main(x) + shortcut(x))."""

    def __init__(self, main: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.main, self.shortcut = main, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.main(x) + self.shortcut(x))


class Concat(nn.Module):
    """The outputs of all children, side by side in channels."""

    def __init__(self, branches: Iterable[tuple[str, nn.Module]]) -> None:
        super().__init__()
        for name, branch in branches:
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class Mean(nn.Module):
    """N x C x T x H x W to N x C; over windows of `window` frames first, in longer clips."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        if 1 < self.window < x.shape[2]:
            x = x.mean(dim=(3, 4)).unfold(2, self.window, 1).mean(dim=3)
            return x.mean(dim=2)
        return x.mean(dim=(2, 3, 4))


class Gate(nn.Module):
    """x * sigmoid(W m), where m are x's means over time and space."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv(x.mean(dim=(2, 3, 4), keepdim=True)))


class Flatten(nn.Module):
    """N x C x T x H x W to N x (C T H W); FactorError at another size than the one built for."""

    def __init__(self, shape: L.Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        channels, frames, side = self.shape
        if tuple(x.shape[1:]) != (channels, frames, side, side):
            raise FactorError(
                f"the fully connected head reads exactly {frames} x {side} x {side} of features, "
                f"not {' x '.join(str(size) for size in x.shape[2:])}: keep the clip's size, or "
                "take the network with global pooling"
            )
        return x.flatten(1)


class FoldTime(nn.Module):
    """N x C x T x H x W to N x (C T) x 1 x H x W; FactorError at another length."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] != self.frames:
            raise FactorError(
                f"a network that takes its {self.frames} frames as channels cannot read clips of "
                f"{x.shape[2]}"
            )
        return x.flatten(1, 2).unsqueeze(2)


def _module(layer: L.Layer, x: Any) -> tuple[nn.Module, Any]:
    """The module of one layer for input of shape `x`, and the shape behind it."""
    if isinstance(layer, L.Seq):
        parts = []
        for name, part in layer.parts:
            module, x = _module(part, x)
            parts.append((name, module))
        return nn.Sequential(OrderedDict(parts)), x
    behind = layer.trace(x, "", [])
    match layer:
        case L.Residual():
            return Residual(_module(layer.main, x)[0], _module(layer.shortcut, x)[0]), behind
        case L.Concat():
            branches = [(name, _module(branch, x)[0]) for name, branch in layer.branches]
            return Concat(branches), behind
        case P.Rates():
            return pathways_net.Rates(layer.alpha), behind
        case P.Pathways():
            lateral = _module(layer.lateral, behind[1])[0] if layer.lateral else None
            slow, fast = _module(layer.slow, x[0])[0], _module(layer.fast, x[1])[0]
            return pathways_net.Pathways(slow, fast, lateral), behind
        case P.Join():
            return pathways_net.Join(), behind
        case _:
            return _leaf(layer, x), behind


def _leaf(layer: L.Layer, x: L.Shape) -> nn.Module:
    match layer:
        case L.Conv():
            return _conv(layer, x.channels)
        case L.Norm():
            return _norm(layer, x.channels)
        case L.Pool():
            return _pool(layer)
        case L.Relu():
            return nn.ReLU(inplace=True)
        case L.Identity():
            return nn.Identity()
        case L.Dropout():
            return nn.Dropout(layer.rate)
        case L.Mean():
            return Mean(layer.window)
        case M.MotionNet():
            return motion_modules.MotionNet(layer, x.channels)
        case S.FrameMean():
            return stream_modules.FrameMean()
        case S.FrameNorm():
            return stream_modules.FrameNorm()
        case S.Consensus():
            return stream_modules.Consensus(layer.rule, x.frames)
        case L.Gate():
            return Gate(x.channels)
        case L.Flatten():
            return Flatten(x)
        case L.FoldTime():
            return FoldTime(x.frames)
        case L.Linear():
            return nn.Linear(x.channels, layer.out, bias=layer.bias)
    raise AssertionError(f"no module for {layer}")


def _cube(pair: L.Pair) -> tuple[int, int, int]:
    return pair[0], pair[1], pair[1]


def _conv(layer: L.Conv, channels: int) -> nn.Module:
    kernel, stride = _cube(layer.kernel), _cube(layer.stride)
    if layer.padding == "same":
        return SameConv3d(
            channels, layer.out, kernel, stride=stride, groups=layer.groups, bias=layer.bias
        )
    channelwise = layer.groups == channels == layer.out and not layer.bias
    if channelwise and kernel == (3, 3, 3) and layer.padding == "half" and stride[0] == 1:
        return ChannelwiseConv3d(channels, kernel, stride=stride[1])
    padding = L.pads(layer.kernel, layer.padding)
    assert padding[0] is not None
    kind = FramewiseConv3d if kernel[0] == 1 and padding[0] == 0 else nn.Conv3d
    return kind(
        channels,
        layer.out,
        kernel,
        stride=stride,
        padding=_cube(padding),
        groups=layer.groups,
        bias=layer.bias,
    )


def _norm(layer: L.Norm, channels: int) -> nn.Module:
    norm = (nn.BatchNorm1d if layer.flat else nn.BatchNorm3d)(channels, eps=layer.eps)
    if layer.zero:
        nn.init.zeros_(norm.weight)
    return norm


def _pool(layer: L.Pool) -> nn.Module:
    kernel, stride = _cube(layer.kernel), _cube(layer.stride)
    if layer.padding == "same":
        assert layer.kind == "max"
        return SameMaxPool3d(kernel, stride)
    padding = L.pads(layer.kernel, layer.padding)
    assert padding[0] is not None
    if layer.within:
        assert layer.kind == "avg" and padding == (0, 0) and not layer.ceil
        return AvgPoolWithin(kernel, stride)
    kind = nn.MaxPool3d if layer.kind == "max" else nn.AvgPool3d
    return kind(kernel, stride, _cube(padding), ceil_mode=layer.ceil)


def _initialise(module: nn.Module) -> None:
    """He's normal for convolutions, 0.01 for linear layers."""
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
