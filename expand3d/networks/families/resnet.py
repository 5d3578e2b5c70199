"""Residual networks over clips, as the 3D ResNets share them: stages of basic or bottleneck blocks.

What differs between those families is how a 3x3x3 convolution is made (full, spatial only, or
factorised) and where; each block is given the makers of its convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from expand3d.core.genotype import Genotype
from expand3d.networks.factors import round_width
from expand3d.networks.family import Factor
from expand3d.networks.layers.describe import (
    Dropout,
    Identity,
    Layer,
    Linear,
    Mean,
    Named,
    Pair,
    Residual,
    Seq,
    conv_norm,
    seq,
)

#: Blocks of res2 to res5 by the total depth that papers name the network after.
DEPTHS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
#: Channels behind the stem at gamma_w = 1.
STEM_WIDTH = 64
#: Widths of res2 to res5 at gamma_w = 1; a bottleneck block puts out four times as many.
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4


class Maker(Protocol):
    """Makes a convolution from `inputs` to `out` channels with its BatchNorm."""

    def __call__(
        self, inputs: int, out: int, stride: Pair, *, relu: bool = True, zero: bool = False
    ) -> Layer: ...


def full(inputs: int, out: int, stride: Pair, *, relu: bool = True, zero: bool = False) -> Layer:
    """3x3x3."""
    return conv_norm(out, (3, 3), stride, relu=relu, zero=zero)


def spatial(inputs: int, out: int, stride: Pair, *, relu: bool = True, zero: bool = False) -> Layer:
    """1x3x3, which leaves time alone: a stride over space only."""
    return conv_norm(out, (1, 3), (1, stride[1]), relu=relu, zero=zero)


def shortcut(inputs: int, out: int, stride: Pair) -> Layer:
    """Nothing where the shape stays, else 1x1x1 with BatchNorm."""
    if inputs == out and stride == (1, 1):
        return Identity()
    return conv_norm(out, (1, 1), stride, relu=False)


def basic(
    inputs: int, inner: int, out: int, stride: Pair, make: Maker, *, second: Maker | None = None
) -> Residual:
    """Two convolutions, the first with the stride, the second by a maker of its own if given."""
    main = seq(
        ("conv1", make(inputs, inner, stride)),
        ("conv2", (second or make)(inner, out, (1, 1), relu=False, zero=True)),
    )
    return Residual(main, shortcut(inputs, out, stride))


def bottleneck(
    inputs: int, inner: int, out: int, stride: Pair, make: Maker, *, reduce: int = 1
) -> Residual:
    """1x1x1 (or `reduce` x 1x1) to `inner` channels, a convolution with the stride, 1x1x1."""
    main = seq(
        ("conv1", conv_norm(inner, (reduce, 1))),
        ("conv2", make(inner, inner, stride)),
        ("conv3", conv_norm(out, relu=False, zero=True)),
    )
    return Residual(main, shortcut(inputs, out, stride))


def stage(blocks: Iterable[Layer]) -> Seq:
    """Blocks in a row, named by their number."""
    return seq(*blocks)


def stages(
    inputs: int,
    *,
    widths: Sequence[int],
    depths: Sequence[int],
    strides: Sequence[Pair],
    block: Callable[[int, int, int, Pair], Layer],
) -> list[Named]:
    """res2 to res5 by name; the first block of a stage has its stride.

    `block` makes one from the stage's number (0 is res2), its place there, its input channels and
    its stride; its output has the stage's width.
    """
    found: list[Named] = []
    for number, depth in enumerate(depths):
        blocks = []
        for place in range(depth):
            blocks.append(block(number, place, inputs, (1, 1) if place else strides[number]))
            inputs = widths[number]
        found.append((f"res{number + 2}", stage(blocks)))
    return found


def head(num_classes: int, dropout: float) -> Seq:
    """The mean over time and space, dropout, a linear layer."""
    return seq(("pool", Mean()), ("dropout", Dropout(dropout)), ("fc", Linear(num_classes)))


def depth_table() -> tuple[Factor, ...]:
    """The factors res2 to res5: how deep each stage is."""
    return tuple(
        Factor(f"res{n}", f"blocks of res{n} at gamma_d = 1", 1, 64, integer=True)
        for n in (2, 3, 4, 5)
    )


def depth_factors(depth: int) -> dict[str, float]:
    """The factors res2 to res5 of a network that is named after its depth."""
    return {f"res{n}": float(count) for n, count in enumerate(DEPTHS[depth], start=2)}


def depths(genotype: Genotype) -> tuple[int, ...]:
    """Blocks of res2 to res5: the factors of those names times gamma_d, rounded up."""
    gamma = genotype["gamma_d"]
    return tuple(math.ceil(gamma * genotype[f"res{n}"] - 1e-9) for n in (2, 3, 4, 5))


def narrow_widths(genotype: Genotype) -> tuple[int, ...]:
    """Channels of res2 to res5: what basic blocks put out, a quarter of what bottlenecks do."""
    return tuple(round_width(width, genotype["gamma_w"]) for width in WIDTHS)


def inner_widths(genotype: Genotype) -> tuple[int, ...]:
    """Channels inside the blocks of res2 to res5."""
    return tuple(round_width(width, genotype["gamma_b"]) for width in narrow_widths(genotype))
