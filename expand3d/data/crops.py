"""Crops: the square of a clip that a view shows, and its pixels.

A view's square is cut from the stored clip first and resized after, which costs a fraction of
resizing whole frames and then cropping, for the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from expand3d.core.input_kinds import InputKind
from expand3d.core.plugins import INPUTS
from expand3d.data.store import Clip

if TYPE_CHECKING:
    from torch import Tensor

#: Pixels in [0, 1] are normalised as the X3D paper's code does, for all three channels.
MEAN, STD = 0.45, 0.225
#: Flow is kept around 128; a step of its 8 bits in pixels, at the papers' bound of 20.
ZERO, FLOW_PIXELS = 128, 20 / 127
#: The 30-view protocol tests on the whole short side, resized to 128/112 of the training crop.
WIDE_TEST = 128 / 112


class Region(NamedTuple):
    """A square of a stored frame in pixels, mirrored left to right where `flip` is set."""

    top: int
    left: int
    side: int
    flip: bool = False

    def within(self, frame: tuple[int, ...], picture: tuple[int, ...]) -> Region:
        """The same square in a smaller or larger picture of the frame; sizes are H x W."""
        down, right = picture[0] / frame[0], picture[1] / frame[1]
        side = max(1, min(round(self.side * down), *picture))
        top = min(round(self.top * down), picture[0] - side)
        left = min(round(self.left * right), picture[1] - side)
        return Region(top, left, side, self.flip)


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


def read(
    clip: Clip,
    frames: NDArray[np.intp],
    region: Region,
    crop: int,
    *,
    signed: bool = False,
) -> Tensor:
    """The view as uint8 T x crop x crop x C, cut from a uint8 T x H x W x C clip.

    Resizing is bilinear, with antialiasing where it shrinks. `signed` pictures are vectors x, y
    around 128, whose x is negated where the region is mirrored.
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
        if signed:
            pixels[..., 0::2].neg_()  # modulo 256: 128 + n becomes 128 - n
    return pixels.contiguous()


def normalise(views_NTHWC: Tensor, kind: str = "rgb") -> Tensor:
    """Float N x C x T x H x W of one kind of input from uint8 N x T x H x W x C.

    This makes it channels-last. Flow becomes pixels at the papers' bound of 20, RGB differences
    those of normalised frames.
    """
    made_of: InputKind = INPUTS.load(kind)
    if made_of.source == "frames":
        scaled = views_NTHWC.float().mul_(1 / (255 * STD)).sub_(MEAN / STD)
        if made_of.of > 1:
            scaled = scaled[..., made_of.stored :] - scaled[..., : -made_of.stored]
    else:
        scaled = views_NTHWC.float().sub_(ZERO).mul_(FLOW_PIXELS)
    if made_of.centred:
        scaled -= scaled.mean(dim=(2, 3), keepdim=True)
    return scaled.permute(0, 4, 1, 2, 3)
