"""RandAugment on clips (arXiv 1909.13719): N operations in a row, each drawn from 14 alike.

view = o_N(... o_1(clip; M) ...; M), each o_i uniform over OPERATIONS. The magnitude M, from 0 to
10, is one for all of them; at 10 an operation is as strong as AutoAugment's strongest (arXiv
1805.09501, table 6). What may go both ways, such as a rotation, has a random sign.

All pictures of a clip go through the same operations, with the same sign. Where an operation looks
at the picture (the histogram of `equalize`, the extremes of `auto_contrast`, the mean of
`contrast`) it looks at the whole clip, so that what changes over time goes on changing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from expand3d.core.extras import MAGNITUDES

if TYPE_CHECKING:
    from torch import Tensor

#: The strongest of each operation: radians, shares of the side, distances of a factor from 1, bits.
ROTATION, SHEAR, TRANSLATION, FACTOR, BITS = np.deg2rad(30), 0.3, 150 / 331, 0.9, 4
#: The grey that stands where a picture was moved away from.
OUTSIDE = 128
#: The weights of red, green and blue in a grey.
LUMA = (0.299, 0.587, 0.114)


def rand_augment(
    view_THWC: Tensor, *, count: int, magnitude: float, draws: np.random.Generator
) -> Tensor:
    """The view after `count` operations; uint8 T x H x W x 3, or stacks of such pictures in C."""
    names = [*OPERATIONS]
    frames, height, width, channels = view_THWC.shape
    pictures = view_THWC.view(frames, height, width, channels // 3, 3).transpose(2, 3)
    pictures = pictures.transpose(1, 2).reshape(-1, height, width, 3)
    for which, sign in zip(
        draws.integers(len(names), size=count), draws.random(count), strict=True
    ):
        share = magnitude / MAGNITUDES * (1 if sign < 0.5 else -1)
        pictures = OPERATIONS[names[which]](pictures, float(share))
    stacked = pictures.view(frames, channels // 3, height, width, 3)
    return stacked.permute(0, 2, 3, 1, 4).reshape(frames, height, width, channels).contiguous()


def _identity(clip: Tensor, share: float) -> Tensor:
    return clip


def _auto_contrast(clip: Tensor, share: float) -> Tensor:
    """Each channel's extremes become 0 and 255."""
    low, high = clip.amin(dim=(0, 1, 2)).float(), clip.amax(dim=(0, 1, 2)).float()
    scale = 255 / (high - low).clamp(min=1)
    stretched = _bytes((clip.float() - low) * scale)
    return stretched.where(high > low, clip)


def _equalize(clip: Tensor, share: float) -> Tensor:
    """Each channel's values are spread evenly."""
    import torch

    done = clip.clone()
    for channel in range(3):
        counts = torch.bincount(clip[..., channel].flatten(), minlength=256)
        step = int(counts.sum() - counts[counts > 0][-1]) // 255
        if step:
            below = counts.cumsum(0) - counts
            table = ((below + step // 2) // step).clamp(max=255).to(torch.uint8)
            done[..., channel] = table[clip[..., channel].long()]
    return done


def _solarize(clip: Tensor, share: float) -> Tensor:
    """Bytes from a threshold on are inverted."""
    return (255 - clip).where(clip >= 256 - 256 * abs(share), clip)


def _posterize(clip: Tensor, share: float) -> Tensor:
    """The lowest bits become 0."""
    return clip & (256 - (1 << round(BITS * abs(share))))


def _brightness(clip: Tensor, share: float) -> Tensor:
    return _bytes(clip.float() * (1 + FACTOR * share))


def _contrast(clip: Tensor, share: float) -> Tensor:
    """Away from the clip's mean grey, or towards it."""
    return _from(clip, _grey(clip).mean(), share)


def _color(clip: Tensor, share: float) -> Tensor:
    """Away from grey, or towards it."""
    return _from(clip, _grey(clip)[..., None], share)


def _sharpness(clip: Tensor, share: float) -> Tensor:
    """Away from a blurred picture, or towards it; the border stays."""
    import torch
    from torch.nn.functional import conv2d

    kernel = torch.ones(3, 1, 3, 3)
    kernel[:, :, 1, 1] = 5
    blurred = clip.float()
    inner = conv2d(blurred.permute(0, 3, 1, 2), kernel / 13, groups=3)
    blurred[:, 1:-1, 1:-1] = inner.permute(0, 2, 3, 1).round()
    return _from(clip, blurred, share)


def _rotate(clip: Tensor, share: float) -> Tensor:
    angle = ROTATION * share
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return _moved(clip, [[cos, sin, 0], [-sin, cos, 0]])


def _shear_x(clip: Tensor, share: float) -> Tensor:
    return _moved(clip, [[1, SHEAR * share, 0], [0, 1, 0]])


def _shear_y(clip: Tensor, share: float) -> Tensor:
    return _moved(clip, [[1, 0, 0], [SHEAR * share, 1, 0]])


def _translate_x(clip: Tensor, share: float) -> Tensor:
    return _moved(clip, [[1, 0, 2 * TRANSLATION * share], [0, 1, 0]])


def _translate_y(clip: Tensor, share: float) -> Tensor:
    return _moved(clip, [[1, 0, 0], [0, 1, 2 * TRANSLATION * share]])


def _moved(clip: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    """Pictures whose place p shows what was at `matrix` p; half a side is 1, the centre 0."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    pixels = clip.permute(0, 3, 1, 2).float() - OUTSIDE
    theta = torch.tensor(matrix).expand(len(clip), 2, 3)
    grid = affine_grid(theta, list(pixels.shape), align_corners=False)
    found = grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return _bytes(found + OUTSIDE).permute(0, 2, 3, 1)


def _from(clip: Tensor, other: Tensor, share: float) -> Tensor:
    """A blend with factor 1 + FACTOR x share: 1 is the clip, 0 the other."""
    return _bytes(other + (1 + FACTOR * share) * (clip.float() - other))


def _grey(clip: Tensor) -> Tensor:
    """The grey of each pixel, T x H x W, in whole numbers."""
    red, green, blue = clip.float().unbind(-1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).round()


def _bytes(pixels: Tensor) -> Tensor:
    import torch

    return pixels.round().clamp(0, 255).to(torch.uint8)


#: By the names of the paper; each takes a clip of uint8 T x H x W x 3, and a share from -1 to 1.
OPERATIONS: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "identity": _identity,
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
    "rotate": _rotate,
    "solarize": _solarize,
    "color": _color,
    "posterize": _posterize,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
