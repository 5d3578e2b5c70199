"""The words for a clip that every family takes for its factors."""

from __future__ import annotations

from collections.abc import Mapping

#: gamma_s = 1: the crop of X2D, and of C3D and R3D before it.
BASE_CROP = 112
#: The factor of families that see parts of a clip.
SEGMENTS = "segments"
#: For each word the factors that may say it, the last one that is there, and how many of the word
#: make 1 of the factor.
CLIP_WORDS: Mapping[str, tuple[tuple[str, float], ...]] = {
    "frames": ((SEGMENTS, 1), ("gamma_t", 1)),
    "stride": (("gamma_tau", 1),),
    "frame_stride": (("gamma_tau", 1),),
    "crop": (("gamma_s", BASE_CROP),),
}
