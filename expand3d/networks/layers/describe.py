"""Networks as data: one description from which both the arithmetic cost and the module are made.

A family describes its network with these layers; `trace` follows a clip's shape through them and
lists the operators, `modules.build` makes the torch module of the same names. Kernels, strides
and paddings are pairs (temporal, spatial): `Conv(64, (3, 7), (1, 2))` is 3x7x7, 64 with stride
1x2x2. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from expand3d.core.errors import FactorError
from expand3d.networks.operators import Operator, batch_norm, conv, linear

Pair = tuple[int, int]
#: Half the kernel where nothing is said; "same" pads as TensorFlow does, more at the end.
Padding = Pair | Literal["half", "same"]


class Shape(NamedTuple):
    """One clip between two layers: channels x frames x side x side."""

    channels: int
    frames: int
    side: int

    @property
    def positions(self) -> int:
        return self.frames * self.side * self.side


class TooSmall(FactorError):
    """A clip too short or too small for a network's strides."""


class Layer(Protocol):
    """A layer: `trace` adds its operators to `out` and returns the shape behind it.

    `path` is the module's name in the built network; the part before its first dot is the stage.
    A shape is a `Shape`, or a pair of them between the layers of `pathways.py`.
    """

    def trace(self, x: Any, path: str, out: list[Operator]) -> Any: ...


def _stage(path: str) -> str:
    return path.partition(".")[0]


def _slide(size: int, kernel: int, stride: int, padding: int | None, ceil: bool = False) -> int:
    """Positions of a window along one dimension; `padding` None is TensorFlow's "same"."""
    if padding is None:
        return -(-size // stride)
    room = size + 2 * padding - kernel
    if room < 0:
        raise TooSmall("the clip is too small")
    steps = -(-room // stride) if ceil else room // stride
    if ceil and steps * stride >= size + padding:  # torch: no window starts in the end's padding
        steps -= 1
    return steps + 1


def pads(kernel: Pair, padding: Padding) -> tuple[int, int] | tuple[None, None]:
    """The zeros on either side of time and of space; None for "same"."""
    if padding == "same":
        return None, None
    return (kernel[0] // 2, kernel[1] // 2) if padding == "half" else padding


@dataclass(frozen=True)
class Conv:
    """A convolution to `out` channels."""

    out: int
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Padding = "half"
    groups: int = 1
    bias: bool = False

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        (t, s), (pt, ps) = self.kernel, pads(self.kernel, self.padding)
        y = Shape(
            self.out,
            _slide(x.frames, t, self.stride[0], pt),
            _slide(x.side, s, self.stride[1], ps),
        )
        out.append(
            conv(
                path,
                _stage(path),
                inputs=x.channels,
                outputs=self.out,
                kernel=(t, s, s),
                positions=y.positions,
                groups=self.groups,
                bias=self.bias,
            )
        )
        return y


@dataclass(frozen=True)
class Norm:
    """A BatchNorm; `zero` starts its scale at zero, so that a residual block starts as identity.

    `flat` is for what a linear layer puts out.
    """

    eps: float = 1e-5
    zero: bool = False
    flat: bool = False

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        operator = batch_norm(path, _stage(path), channels=x.channels, positions=x.positions)
        out.append(operator)
        return x


@dataclass(frozen=True)
class _Free:
    """A layer that costs nothing and keeps the shape."""

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        return x


@dataclass(frozen=True)
class Relu(_Free):
    """max(x, 0)."""


@dataclass(frozen=True)
class Identity(_Free):
    """x."""


@dataclass(frozen=True)
class Dropout(_Free):
    """Dropout in training; follows `Mean` or a linear layer."""

    rate: float = 0.5


@dataclass(frozen=True)
class Pool:
    """Max or average over a window; `within` shortens it to the frames that are there."""

    kind: Literal["max", "avg"]
    kernel: Pair
    stride: Pair
    padding: Padding = (0, 0)
    ceil: bool = False
    within: bool = False

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        pt, ps = pads(self.kernel, self.padding)
        frames = min(self.kernel[0], x.frames) if self.within else self.kernel[0]
        return Shape(
            x.channels,
            _slide(x.frames, frames, self.stride[0], pt, self.ceil),
            _slide(x.side, self.kernel[1], self.stride[1], ps, self.ceil),
        )


@dataclass(frozen=True)
class Mean:
    """The mean over time and space, whatever the input's size: channels.

    `window` averages over windows of that many frames first, as an average pooling of stride 1
    before the classifier does: frames at the ends of a long clip count less.
    """

    window: int = 1

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        return Shape(x.channels, 1, 1)


@dataclass(frozen=True)
class Flatten:
    """All values of the clip in a row, which fixes the size of the input."""

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        return Shape(x.channels * x.positions, 1, 1)


@dataclass(frozen=True)
class FoldTime:
    """All frames of the clip as channels of one image."""

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        return Shape(x.channels * x.frames, 1, x.side)


@dataclass(frozen=True)
class Linear:
    """A linear layer behind `Mean` or `Flatten`."""

    out: int
    bias: bool = True

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        layer = linear(path, _stage(path), inputs=x.channels, outputs=self.out, bias=self.bias)
        out.append(layer)
        return Shape(self.out, 1, 1)


@dataclass(frozen=True)
class Gate:
    """x * sigmoid(W m), where m are x's means over time and space; S3D-G's self-gating."""

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        whole = Shape(x.channels, 1, 1)
        Conv(x.channels).trace(whole, f"{path}.conv", out)
        return x


Named = tuple[str, Layer]


@dataclass(frozen=True)
class Seq:
    """Layers one after the other, each with the name of its module."""

    parts: tuple[Named, ...]

    def trace(self, x: Any, path: str, out: list[Operator]) -> Any:
        for name, part in self.parts:
            x = part.trace(x, f"{path}.{name}" if path else name, out)
        return x


@dataclass(frozen=True)
class Residual:
    """relu(main(x) + shortcut(x))."""

    main: Layer
    shortcut: Layer = Identity()

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        y = self.main.trace(x, f"{path}.main", out)
        short = self.shortcut.trace(x, f"{path}.shortcut", out)
        assert y == short, f"{path}: {y} and {short} cannot be added"
        return y


@dataclass(frozen=True)
class Concat:
    """Several layers of the same input, side by side in channels."""

    branches: tuple[Named, ...]

    def trace(self, x: Shape, path: str, out: list[Operator]) -> Shape:
        shapes = [branch.trace(x, f"{path}.{name}", out) for name, branch in self.branches]
        assert len({shape[1:] for shape in shapes}) == 1, f"{path}: {shapes} do not fit"
        return Shape(sum(shape.channels for shape in shapes), *shapes[0][1:])


def seq(*layers: Layer | Named) -> Seq:
    """`Seq` of layers, each named, or by its number."""
    named = (item if isinstance(item, tuple) else (str(n), item) for n, item in enumerate(layers))
    return Seq(tuple(named))


def conv_norm(
    out: int,
    kernel: Pair = (1, 1),
    stride: Pair = (1, 1),
    *,
    relu: bool = True,
    zero: bool = False,
    groups: int = 1,
    padding: Padding = "half",
    eps: float = 1e-5,
) -> Seq:
    """Convolution, BatchNorm and (where `relu`) ReLU."""
    parts: list[Named] = [
        ("conv", Conv(out, kernel, stride, padding, groups)),
        ("bn", Norm(eps, zero)),
    ]
    return Seq((*parts, ("relu", Relu())) if relu else tuple(parts))


def operators(layers: Layer, x: Any) -> Iterator[Operator]:
    """The operators of one clip of shape `x`; TooSmall where the strides leave nothing of it."""
    found: list[Operator] = []
    layers.trace(x, "", found)
    yield from found


def smallest(layers: Layer, *, channels: int = 3) -> tuple[int, int]:
    """The fewest frames and the smallest side that the network can read."""

    def fits(frames: int, side: int) -> bool:
        try:
            layers.trace(Shape(channels, frames, side), "", [])
        except TooSmall:
            return False
        return True

    plenty = 512
    frames = next(n for n in range(1, plenty + 1) if fits(n, plenty))
    return frames, next(n for n in range(1, plenty + 1) if fits(frames, n))
