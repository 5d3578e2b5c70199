"""The facts of a video, and the sizes and numbers of its frames once it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

#: A frame counts as shown this much (of a target frame) early: containers round their time stamps.
TOLERANCE = 0.1


@dataclass(frozen=True)
class VideoInfo:
    """One video: source frames and frames per second, display size (upright), seconds, codec.

    `remark` says what is odd about a file that can be used.
    """

    frames: int
    fps: float
    width: int
    height: int
    duration_s: float
    codec: str
    remark: str = ""

    @property
    def short_side(self) -> int:
        """Pixels of the shorter display side."""
        return min(self.width, self.height)

    def frames_at(self, fps: float) -> int:
        """Frames that the video has once resampled to `fps`; at least 1."""
        return frame_count(self.duration_s, fps)


def frame_count(seconds: float, fps: float) -> int:
    """Frames shown at 0, 1/fps, 2/fps, ... within `seconds`; at least 1."""
    return max(1, int(np.ceil(seconds * fps - TOLERANCE)))


def shown(
    due: NDArray[np.floating[Any]], seconds: float, *, fps: float, every: int
) -> NDArray[np.intp]:
    """The number of the frame shown at each k / fps within `seconds`, k a multiple of `every`.

    Frames are `due` at these multiples of 1 / fps, ascending from 0.
    """
    starts = -(-np.ceil(due - TOLERANCE).astype(np.intp) // every)
    count = max(int(starts[-1]), -(-frame_count(seconds, fps) // every))
    return np.searchsorted(starts, np.arange(count), side="right") - 1


def scaled_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Width and height with the shorter side brought down to `short_side` pixels, never up.

    The longer side keeps the aspect, rounded to an even number.
    """
    if short_side is None or min(width, height) <= short_side:
        return width, height
    longer = 2 * round(max(width, height) * short_side / min(width, height) / 2)
    longer = max(longer, short_side)
    return (short_side, longer) if width <= height else (longer, short_side)
