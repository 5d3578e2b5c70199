"""Methods of optical flow, by OpenCV; each gives the displacement in pixels from one grey image on.

A method is made once per thread: OpenCV's objects keep buffers and may not be shared.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import DataError

Grey = NDArray[np.uint8]
Field = NDArray[np.float32]


class Method(Protocol):
    """A method of optical flow, made with its own settings.

    Its class may say `live = False`: a pair of images takes longer than a camera's next frame.
    """

    def __call__(self, before_HW: Grey, after_HW: Grey) -> Field:
        """H x W x 2: where each pixel of `before` has gone in `after`, in pixels right and down."""
        ...


class Dis:
    """Dense inverse search (arXiv 1603.03590), OpenCV's preset "fast"."""

    def __init__(self) -> None:
        cv2 = opencv()
        self._method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def __call__(self, before_HW: Grey, after_HW: Grey) -> Field:
        return np.asarray(self._method.calc(before_HW, after_HW, None))


class Farneback:
    """Polynomial expansion (Farneback 2003), with OpenCV's usual settings."""

    def __init__(self) -> None:
        self._cv2 = opencv()

    def __call__(self, before_HW: Grey, after_HW: Grey) -> Field:
        settings = (0.5, 3, 15, 3, 5, 1.2, 0)  # scale, levels, window, rounds, polynomial, flags
        flow = self._cv2.calcOpticalFlowFarneback(before_HW, after_HW, None, *settings)
        return np.asarray(flow)


class TvL1:
    """Total variation with an L1 data term (Zach et al. 2007), OpenCV's defaults."""

    live = False

    def __init__(self) -> None:
        cv2 = opencv()
        if not hasattr(cv2, "optflow"):
            raise DataError(
                "flow = 'tvl1' needs OpenCV's contributed modules: install "
                "opencv-contrib-python-headless in place of opencv-python-headless, or choose 'dis'"
            )
        self._method = cv2.optflow.DualTVL1OpticalFlow_create()

    def __call__(self, before_HW: Grey, after_HW: Grey) -> Field:
        return np.asarray(self._method.calc(before_HW, after_HW, None))


def opencv() -> Any:
    """OpenCV, told to use one thread; DataError that names the extra where it is missing."""
    try:
        import cv2
    except ImportError:
        raise DataError(
            "optical flow needs OpenCV, which is not installed: pip install 'expand3d[flow]'"
        ) from None
    cv2.setNumThreads(1)  # clips are computed side by side instead
    return cv2


def grey(frame_HWC: NDArray[np.uint8]) -> Grey:
    """The luma of an RGB frame, H x W."""
    cv2 = opencv()
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame_HWC), cv2.COLOR_RGB2GRAY))
