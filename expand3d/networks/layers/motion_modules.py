"""The torch module of `motion.py`, and the glue between flow and the network that reads it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from expand3d.networks.layers.motion import DOUBLE
from expand3d.networks.layers.motion import MotionNet as Described
from expand3d.networks.ops.conv import FramewiseConv3d

#: The slope of LeakyReLU below zero.
SLOPE = 0.1
#: MotionNet puts out flow / 20; what is read is clipped to the bound of stored flow, in pixels.
SCALE = BOUND = 20.0


class MotionNet(nn.Module):
    """N x 3(L + 1) x T x H x W, normalised frames side by side, to flow N x 2L x T x H x W.

    Flow is in pixels of the frames, clipped to +-20, as stored flow is read.
    """

    def __init__(self, described: Described, channels: int) -> None:
        super().__init__()
        self.levels, self.doubled = described.levels, described.double
        flow = 2 * described.pairs
        inputs = channels
        for level, (width, kernel) in enumerate(
            zip(described.widths, described.kernels, strict=True), 1
        ):
            self.add_module(f"conv{level}", _conv(inputs, width, kernel, 1 if level == 1 else 2))
            if self.doubled:
                self.add_module(f"conv{level}_1", _conv(width, width, 3))
            inputs = width
        self.add_module(f"flow{self.levels}", _conv(inputs, flow, 3))
        for level, width in zip(range(self.levels - 1, 1, -1), described.decoder, strict=True):
            self.add_module(f"up{level}", _deconv(flow, flow))
            self.add_module(f"deconv{level}", _deconv(inputs, width))
            joined = described.widths[level - 1] + width + flow
            self.add_module(f"smooth{level}", _conv(joined, width, 3))
            self.add_module(f"flow{level}", _conv(width, flow, 3))
            inputs = width

    def pyramid(self, x: Tensor) -> dict[int, Tensor]:
        """Flow / 20 by level, the coarsest first; level n has 1 / 2^(n - 1) of the frames' size."""
        features = []
        for level in range(1, self.levels + 1):
            x = self._passed(f"conv{level}", x)
            if self.doubled:
                x = self._passed(f"conv{level}_1", x)
            features.append(x)
        flows = {self.levels: self.get_submodule(f"flow{self.levels}")(x)}
        for level in range(self.levels - 1, 1, -1):
            skip = features[level - 1]
            up = _cut(self.get_submodule(f"up{level}")(flows[level + 1]), skip)
            wider = _cut(self._passed(f"deconv{level}", x), skip)
            x = self._passed(f"smooth{level}", torch.cat([skip, wider, up], dim=1))
            flows[level] = self.get_submodule(f"flow{level}")(x)
        return flows

    def forward(self, x: Tensor) -> Tensor:
        finest = self.pyramid(x)[2]
        flow = (SCALE * finest).clamp(-BOUND, BOUND)
        size = (x.shape[2], *x.shape[3:])
        return F.interpolate(flow, size=size, mode="trilinear", align_corners=False)

    def _passed(self, name: str, x: Tensor) -> Tensor:
        return F.leaky_relu(self.get_submodule(name)(x), SLOPE)


def _conv(inputs: int, out: int, kernel: int, stride: int = 1) -> nn.Module:
    half = kernel // 2
    return FramewiseConv3d(
        inputs, out, (1, kernel, kernel), stride=(1, stride, stride), padding=(0, half, half)
    )


def _deconv(inputs: int, out: int) -> nn.Module:
    kernel, stride = DOUBLE
    return nn.ConvTranspose3d(
        inputs, out, (1, kernel, kernel), stride=(1, stride, stride), padding=(0, 1, 1)
    )


def _cut(x: Tensor, like: Tensor) -> Tensor:
    """Odd sizes: the encoder rounds up, and what is doubled has one row too many."""
    return x[..., : like.shape[3], : like.shape[4]]
