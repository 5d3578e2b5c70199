"""Losses that teach flow without labels (arXiv 1704.00389, section 3.2).

A frame is told from the next one by sampling it where the flow points. The losses ask that the
two look alike, pixel by pixel and in their structure, and that the flow is smooth. All are means
over pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: Exponents of the Charbonnier penalty on brightness and on the flow's gradients, and its epsilon.
PHOTOMETRIC_POWER, SMOOTH_POWER, EPSILON = 0.4, 0.3, 1e-3
#: Grey levels: brightness counts in them, as in the authors' code, beside flow / 20.
LEVELS = 255
#: Weight of the structural loss by level of the decoder; those of the other two are 1.
SSIM_WEIGHTS = {6: 0.16, 5: 0.08, 4: 0.04, 3: 0.02, 2: 0.01}
#: Side of a window of the structural loss, and its stabilising constants for pixels in [0, 1].
WINDOW, C1, C2 = 8, 0.01**2, 0.03**2


def charbonnier(x: Tensor, power: float) -> Tensor:
    """(x^2 + epsilon^2)^power, element by element."""
    return (x * x + EPSILON * EPSILON) ** power


def warped(image_NCHW: Tensor, flow_N2HW: Tensor) -> tuple[Tensor, Tensor]:
    """The image sampled where the flow, in its pixels, points; and where that is inside, N x 1."""
    _, _, height, width = image_NCHW.shape
    y, x = torch.meshgrid(
        torch.arange(height, device=flow_N2HW.device, dtype=flow_N2HW.dtype),
        torch.arange(width, device=flow_N2HW.device, dtype=flow_N2HW.dtype),
        indexing="ij",
    )
    to_x, to_y = x + flow_N2HW[:, 0], y + flow_N2HW[:, 1]
    inside = (to_x >= 0) & (to_x <= width - 1) & (to_y >= 0) & (to_y <= height - 1)
    grid = torch.stack([2 * to_x / max(1, width - 1) - 1, 2 * to_y / max(1, height - 1) - 1], dim=3)
    found = F.grid_sample(image_NCHW, grid, align_corners=True, padding_mode="border")
    return found, inside.unsqueeze(1).to(image_NCHW.dtype)


def brightness(first: Tensor, second: Tensor, inside: Tensor) -> Tensor:
    """The mean penalty on the difference of N x C x H x W pixels in [0, 1] that lie inside."""
    penalty = charbonnier(LEVELS * (first - second), PHOTOMETRIC_POWER) * inside
    return penalty.mean() / inside.mean().clamp_min(1e-3)


def smoothness(flow_N2HW: Tensor) -> Tensor:
    """The mean penalty on the flow's differences from pixel to pixel, right and down."""
    right = flow_N2HW[..., :, 1:] - flow_N2HW[..., :, :-1]
    down = flow_N2HW[..., 1:, :] - flow_N2HW[..., :-1, :]
    return charbonnier(right, SMOOTH_POWER).mean() + charbonnier(down, SMOOTH_POWER).mean()


def structure(first: Tensor, second: Tensor) -> Tensor:
    """1 - SSIM of N x C x H x W images in [0, 1], over windows that do not overlap."""
    side = min(WINDOW, *first.shape[2:])

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, side, side)

    one, two = mean(first), mean(second)
    var_one, var_two = mean(first * first) - one * one, mean(second * second) - two * two
    both = mean(first * second) - one * two
    numerator = (2 * one * two + C1) * (2 * both + C2)
    ssim = numerator / ((one * one + two * two + C1) * (var_one + var_two + C2))
    return 1 - ssim.mean()


def level_loss(first: Tensor, second: Tensor, flow: Tensor, *, scale: float, level: int) -> Tensor:
    """The loss of one level of the decoder.

    `first` and `second` are N x C x H x W frames in [0, 1], here at the level's size; `flow` is
    the decoder's N x 2 x h x w, of which `scale` makes pixels of the level.
    """
    height, width = flow.shape[2:]
    one, two = (F.interpolate(x, (height, width), mode="area") for x in (first, second))
    again, inside = warped(two, scale * flow)
    loss = brightness(one, again, inside) + smoothness(flow)
    return loss + SSIM_WEIGHTS.get(level, 0.01) * structure(one * inside, again * inside)
