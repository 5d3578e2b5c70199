"""Warped flow: the motion of what is filmed, less that of the camera (as TSN, arXiv 1608.00859).

The camera's motion between two images is a homography, found from matched corners by RANSAC; the
later image is warped back by it before the flow is computed. Where too few corners agree the camera
counts as still.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expand3d.data.flow.methods import Field, Grey, Method, opencv

#: Corners that are followed, and the fewest that must agree on a motion of the camera.
MOST_CORNERS, FEWEST = 400, 12
#: The share of all followed corners that must agree.
LEAST_SHARE = 0.25
#: Pixels within which a corner agrees.
WITHIN = 1.0


def without_camera(method: Method, before_HW: Grey, after_HW: Grey) -> Field:
    """Flow H x W x 2 in pixels of the objects alone."""
    camera = homography(before_HW, after_HW)
    if camera is None:
        return method(before_HW, after_HW)
    cv2 = opencv()
    height, width = before_HW.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    stabilised = cv2.warpPerspective(
        after_HW, camera, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return method(before_HW, np.asarray(stabilised))


def homography(before_HW: Grey, after_HW: Grey) -> NDArray[np.float64] | None:
    """The 3 x 3 matrix from places in `before` to those in `after`; None without agreement."""
    cv2 = opencv()
    corners = cv2.goodFeaturesToTrack(before_HW, MOST_CORNERS, 0.01, 5)
    if corners is None or len(corners) < FEWEST:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before_HW, after_HW, corners, None)
    kept = found.reshape(-1) == 1
    if int(kept.sum()) < FEWEST:
        return None
    cv2.setRNGSeed(0)  # RANSAC draws: the same images give the same matrix
    matrix, agree = cv2.findHomography(corners[kept], moved[kept], cv2.RANSAC, WITHIN)
    if matrix is None or agree is None:
        return None
    if int(agree.sum()) < max(FEWEST, LEAST_SHARE * int(kept.sum())):
        return None
    return np.asarray(matrix)
