"""Layers of networks with two pathways that read one clip at two frame rates.

`Rates` splits a clip into a pair (slow, fast), `Pathways` keeps it one, `Join` ends it; what is
between them passes pairs of shapes, or of tensors, where other layers pass one. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass

from expand3d.networks.layers.describe import Layer, Shape
from expand3d.networks.operators import Operator

#: The shapes of the Slow and of the Fast pathway.
Both = tuple[Shape, Shape]


@dataclass(frozen=True)
class Rates:
    """The clip at two rates: ceil(T / alpha) frames spread from its first to its last, and all T.

    Frame i of S is floor(i (T - 1) / (S - 1)) in the original code's float32 (its T is a multiple
    of alpha, where ceil makes no difference); for one frame it is the first.
    """

    alpha: int

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Both:
        return x._replace(frames=-(-x.frames // self.alpha)), x


@dataclass(frozen=True)
class Pathways:
    """One stage of both pathways; `lateral` takes the Fast one's features into the Slow one.

    What it puts out is concatenated behind the Slow pathway's channels; it must bring the fast
    frames down to the slow ones, as an odd kernel with half its size as padding does.
    """

    slow: Layer
    fast: Layer
    lateral: Layer | None = None

    def trace(self, x: Both, path: str, out: list[Operator]) -> Both:
        slow = self.slow.trace(x[0], f"{path}.slow", out)
        fast = self.fast.trace(x[1], f"{path}.fast", out)
        if self.lateral is not None:
            joining = self.lateral.trace(fast, f"{path}.lateral", out)
            assert joining[1:] == slow[1:], f"{path}: {joining} and {slow} do not fit"
            slow = slow._replace(channels=slow.channels + joining.channels)
        return slow, fast


@dataclass(frozen=True)
class Join:
    """Both pathways' channels side by side, where their sizes agree: behind `Mean`, say."""

    def trace(self, x: Both, path: str, out: list[Operator]) -> Shape:
        slow, fast = x
        assert slow[1:] == fast[1:], f"{path}: {slow} and {fast} do not fit"
        return slow._replace(channels=slow.channels + fast.channels)
