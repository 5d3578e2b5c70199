"""MotionNet (arXiv 1704.00389): optical flow from stacked frames, by an encoder and a decoder.

Each level of the encoder halves the size. From its end up to level 2 the decoder predicts flow,
doubles it and the features, and joins them with the encoder's of that level; so the finest flow has
half the size of the frames. All kernels span one picture. No torch here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from expand3d.core.genotype import Plan
from expand3d.networks.layers.describe import Conv, Shape
from expand3d.networks.operators import Operator, conv

#: The kernel and stride of a transposed convolution, which doubles the size.
DOUBLE = 4, 2


@dataclass(frozen=True)
class MotionPlan(Plan, ABC):
    """The plan of a network that begins with one which finds flow, as its module `motion`."""

    @property
    @abstractmethod
    def motion(self) -> MotionNet:
        """The network that finds flow in the snippets of the only input."""


@dataclass(frozen=True)
class Deconv:
    """A transposed convolution of 4x4 over space that doubles the size, with a bias."""

    out: int

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        kernel, stride = DOUBLE
        y = Shape(self.out, x.frames, stride * x.side)
        counted = conv(
            path,
            path.partition(".")[0],
            inputs=x.channels,
            outputs=self.out,
            kernel=(1, kernel, kernel),
            positions=x.positions,  # each input place is multiplied by the whole kernel
            bias=True,
        )
        out.append(counted._replace(outputs=self.out * y.positions))
        return y


@dataclass(frozen=True)
class MotionNet:
    """Flow of L pairs of L + 1 frames that stand side by side as channels: 2 L channels.

    `widths` and `kernels` run over the encoder's levels; each but the first halves the size, and
    has a second convolution where `double`. `decoder` are the widths of the levels below the last
    one, down to level 2. Its output has the size of the frames, in their pixels.
    """

    pairs: int
    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    double: bool
    decoder: tuple[int, ...]

    @property
    def levels(self) -> int:
        """Levels of the encoder; flow is predicted from the last one to level 2."""
        return len(self.widths)

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        """The operators in the order of `forward`, under the names of the module."""

        def add(name: str, layer: Conv | Deconv, shape: Shape) -> Shape:
            return layer.trace(shape, f"{path}.{name}", out)

        features, y = [], x
        for level, (width, kernel) in enumerate(zip(self.widths, self.kernels, strict=True), 1):
            stride = 1 if level == 1 else 2
            y = add(f"conv{level}", Conv(width, (1, kernel), (1, stride), bias=True), y)
            if self.double:
                y = add(f"conv{level}_1", Conv(width, (1, 3), bias=True), y)
            features.append(y)
        flow = add(f"flow{self.levels}", Conv(2 * self.pairs, (1, 3), bias=True), y)
        for level, width in zip(range(self.levels - 1, 1, -1), self.decoder, strict=True):
            skip = features[level - 1]
            add(f"up{level}", Deconv(2 * self.pairs), flow)
            add(f"deconv{level}", Deconv(width), y)
            joined = skip._replace(channels=skip.channels + width + 2 * self.pairs)
            y = add(f"smooth{level}", Conv(width, (1, 3), bias=True), joined)
            flow = add(f"flow{level}", Conv(2 * self.pairs, (1, 3), bias=True), y)
        return Shape(2 * self.pairs, x.frames, x.side)
