"""Layers of networks that read several inputs, or single frames with shared weights.

`Streams` has one network per input and averages what they say; `FrameMean` and `Consensus` are the
head of networks that classify each frame by itself. A 2D layer is a layer whose kernels span one
frame: every frame of a clip then passes the same weights. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from expand3d.networks.layers.describe import Layer, Named, Shape
from expand3d.networks.operators import Operator

Rule = Literal["average", "max", "weighted"]


@dataclass(frozen=True)
class FrameMean:
    """The mean over space, frame by frame: channels x frames."""

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        return x._replace(side=1)


@dataclass(frozen=True)
class FrameNorm:
    """Local response normalisation over neighbouring channels of a place, as in CNN-M."""

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        return x


@dataclass(frozen=True)
class Consensus:
    """The scores of a clip from those of its frames (TSN's segments): channels.

    `weighted` learns a weight per frame, which fixes their number.
    """

    rule: Rule = "average"

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        if self.rule == "weighted":
            stage = path.partition(".")[0]
            macs = x.frames * x.channels
            out.append(Operator(path, stage, "linear", macs, x.frames, x.channels))
        return Shape(x.channels, 1, 1)


@dataclass(frozen=True)
class Streams:
    """A network per input; their class probabilities, or logits, are averaged by `weights`.

    In training each stream has a loss of its own and none sees the others, which is the same as
    training them apart.
    """

    streams: tuple[Named, ...]
    weights: tuple[float, ...]
    of: Literal["probabilities", "logits"] = "probabilities"

    def trace(self, x: tuple[Shape, ...], path: str, out: list[Operator]) -> Shape:
        shapes = [
            stream.trace(clip, f"{path}.{name}" if path else name, out)
            for (name, stream), clip in zip(self.streams, x, strict=True)
        ]
        assert len(set(shapes)) == 1, f"{path}: {shapes} cannot be averaged"
        return shapes[0]


@dataclass(frozen=True)
class Fuse:
    """One clip of features from two of the same size: their sum, maximum, or all channels.

    `bilinear` is the outer product of both features' channels, averaged over time and space.
    """

    rule: Literal["sum", "max", "concat", "bilinear"] = "concat"

    def trace(self, x: tuple[Shape, Shape], path: str, out: list[Operator]) -> Shape:
        one, two = x
        assert one == two, f"{path}: {one} and {two} cannot be fused"
        if self.rule == "bilinear":
            macs = one.channels**2 * one.positions
            out.append(Operator(path, path.partition(".")[0], "linear", macs, 0, one.channels**2))
            return Shape(one.channels**2, 1, 1)
        return one._replace(channels=one.channels * (2 if self.rule == "concat" else 1))


@dataclass(frozen=True)
class Fused:
    """Two towers whose features are fused for one head; the second may keep a head of its own.

    The class probabilities of both heads are averaged. In training each head has a loss.
    """

    towers: tuple[Named, Named]
    fuse: Fuse
    head: Layer
    second_head: Layer | None = None

    def trace(self, x: tuple[Shape, ...], path: str, out: list[Operator]) -> Shape:
        one, two = (
            tower.trace(clip, name, out) for (name, tower), clip in zip(self.towers, x, strict=True)
        )
        found: Shape = self.head.trace(self.fuse.trace((one, two), "fuse", out), "head", out)
        if self.second_head is not None:
            self.second_head.trace(two, "second_head", out)
        return found


#: Networks that read several inputs.
Several = Streams | Fused
