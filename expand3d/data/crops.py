"""Crops: the square of a clip that a view shows, and its pixels.

A view's square is cut from the stored clip first and resized after, which costs a fraction of
resizing whole frames and then cropping, for the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

#: Pixels in [0, 1] are normalised as the X3D paper's code does, for all three channels.
MEAN, STD = 0.45, 0.225
#: The 30-view protocol tests on the whole short side, resized to 128/112 of the training crop.
WIDE_TEST = 128 / 112


class Region(NamedTuple):
    """A square of a stored frame in pixels, mirrored left to right where `flip` is set."""

    top: int
    left: int
    side: int
    flip: bool = False


def even(size: float) -> int:
    """The even integer nearest to `size`, at least 2."""
    return max(2, 2 * round(size / 2))


def train_region(
    height: int,
    width: int,
    *,
    crop: int,
    jitter: tuple[float, float],
    flip: bool,
    uniforms: Sequence[float],
) -> Region:
    """A random square: a crop of `crop` pixels once the short side is resized at random.

    The short side's new size is uniform in `jitter` x crop, to the nearest even number. The four
    `uniforms` in [0, 1) are for the size, the top, the left and the flip.
    """
    short = min(height, width)
    low, high = jitter
    resized = max(crop, even(crop * (low + (high - low) * uniforms[0])))
    side = max(1, round(crop * short / resized))
    top = int(uniforms[1] * (height - side + 1))
    left = int(uniforms[2] * (width - side + 1))
    return Region(top, left, side, flip and uniforms[3] < 0.5)


def test_crop(crop: int, crops: int) -> int:
    """Side of a test view in pixels: the training crop, or 128/112 of it where there are three."""
    return crop if crops == 1 else even(crop * WIDE_TEST)


def test_regions(height: int, width: int, crops: int) -> list[Region]:
    """The largest squares: one in the centre, or three along the longer side."""
    side = min(height, width)
    down, right = height - side, width - side
    places = [1] if crops == 1 else [0, 1, 2]
    return [Region(down * place // 2, right * place // 2, side) for place in places]


def read(clip: NDArray[np.uint8], frames: NDArray[np.intp], region: Region, crop: int) -> Tensor:
    """The view as uint8 T x crop x crop x 3, cut from a uint8 T x H x W x 3 clip.

    Resizing is bilinear, with antialiasing where it shrinks.
    """
    import torch
    from torch.nn.functional import interpolate

    top, left, side, flip = region
    cut = np.ascontiguousarray(clip[frames, top : top + side, left : left + side])
    pixels = torch.from_numpy(cut)
    if side != crop:
        nchw = pixels.permute(0, 3, 1, 2)
        pixels = interpolate(nchw, size=(crop, crop), mode="bilinear", antialias=True)
        pixels = pixels.permute(0, 2, 3, 1)
    if flip:
        pixels = torch.flip(pixels, dims=(2,))
    return pixels.contiguous()


def normalise(views: Tensor) -> Tensor:
    """Float N x 3 x T x H x W from uint8 N x T x H x W x 3, which makes it channels-last."""
    scaled = views.float().mul_(1 / (255 * STD)).sub_(MEAN / STD)
    return scaled.permute(0, 4, 1, 2, 3)
