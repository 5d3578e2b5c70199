"""Flow in 8 bits: 128 is no motion, 1 and 255 are the bound to the left or up, right or down.

The papers clip flow to +-20 pixels and store it as 8-bit images. This scale is symmetric, so that
no motion stays exactly none and a mirrored clip has exactly the negated flow: a step is
bound / 127 pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from expand3d.data.crops import ZERO

STEPS = 127
Stored = NDArray[np.uint8]


class Loss(NamedTuple):
    """The loss that 8 bits cost: the mean error of a vector and of vectors, in pixels.

    `error` is the mean length of what rounding and clipping change, `length` the mean length of the
    vectors; `clipped` the share of vectors beyond the bound.
    """

    error: float
    length: float
    clipped: float


def quantise(flow: NDArray[np.floating], bound: float) -> Stored:
    """uint8 of pixels, clipped to +-`bound`; any shape."""
    steps = np.rint(np.clip(flow, -bound, bound) * (STEPS / bound))
    return (steps + ZERO).astype(np.uint8)


def pixels(stored: Stored, bound: float) -> NDArray[np.float32]:
    """The vectors in pixels that `quantise` wrote."""
    return (stored.astype(np.float32) - ZERO) * np.float32(bound / STEPS)


def loss(flow: NDArray[np.floating], bound: float) -> Loss:
    """The loss of ... x 2 vectors by 8 bits."""
    kept = pixels(quantise(flow, bound), bound)
    return Loss(
        error=float(np.linalg.norm(kept - flow, axis=-1).mean()),
        length=float(np.linalg.norm(flow, axis=-1).mean()),
        clipped=float((np.abs(flow) > bound).any(axis=-1).mean()),
    )
