"""Pictures made smaller, videos' and arrays' alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av import VideoFrame


#: A frame of PyAV, a width and a height to the picture of that size as RGB.
Scale = Callable[["VideoFrame", int, int], NDArray[np.uint8]]


def scaler() -> Scale:
    """A function that gives a frame of PyAV as RGB of some width and height."""
    from av.video.reformatter import Interpolation, VideoReformatter

    # Averages over the area that shrinks into a pixel; the same bits on every processor.
    how = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    reformatter = VideoReformatter()

    def scale(frame: VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
        rgb = reformatter.reformat(frame, width, height, "rgb24", interpolation=how, threads=1)
        pixels: Any = rgb.to_ndarray()
        return pixels

    return scale
