"""Stacks of flow as two-stream networks read them (arXiv 1406.2199, section 3.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expand3d.data.flow.quantise import Stored, pixels, quantise


def both_ways(first: NDArray[np.intp], reach: int, *, step: int, fields: int) -> NDArray[np.intp]:
    """The fields of each stack, of `fields` forward ones with as many backward ones behind them.

    The first half leads forward from the moment `first`, the other half back from it.
    """
    forward = np.arange(reach - reach // 2)
    back = np.arange(reach // 2)
    ahead = np.minimum(first[:, None] + step * forward, fields - 1)
    behind = np.clip(first[:, None] - step * (back + 1), 0, fields - 1) + fields
    return np.concatenate([ahead, behind], axis=1)


def along(stored_THW2: Stored, stacks_NL: NDArray[np.intp], *, bound: float) -> Stored:
    """The fields of N stacks, N L x H x W x 2, each sampled where those before it lead.

    At a place of a stack's first field stands the motion there; then that of the pixel which was
    carried on, wherever it is (bilinear, at the border where it has left the picture).
    """
    height, width = stored_THW2.shape[1:3]
    grid_y, grid_x = np.mgrid[:height, :width].astype(np.float32)
    found = np.empty((*stacks_NL.shape, height, width, 2), np.uint8)
    for stack, numbers in enumerate(stacks_NL):
        x, y = grid_x.copy(), grid_y.copy()
        for place, number in enumerate(numbers):
            moved = _sampled(pixels(stored_THW2[number], bound), x, y)
            found[stack, place] = quantise(moved, bound)
            x += moved[..., 0]
            y += moved[..., 1]
    return found.reshape(-1, height, width, 2)


def _sampled(
    field_HW2: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The field between its pixels, at x and y."""
    height, width = field_HW2.shape[:2]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left = np.minimum(x.astype(np.intp), max(0, width - 2))
    top = np.minimum(y.astype(np.intp), max(0, height - 2))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[..., None], (y - top)[..., None]
    above = field_HW2[top, left] * (1 - across) + field_HW2[top, right] * across
    below = field_HW2[bottom, left] * (1 - across) + field_HW2[bottom, right] * across
    return np.asarray(above * (1 - down) + below * down, np.float32)
