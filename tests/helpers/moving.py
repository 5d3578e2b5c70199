"""Clips whose motion is known: a smooth texture that moves by so many pixels a frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

SIDE = 96


def texture(seed: int, side: int = 3 * SIDE) -> NDArray[np.float64]:
    """Smooth noise with edges and blobs, 20 to 235, side x side."""
    noise = np.random.default_rng(seed).standard_normal((side, side))
    smooth = gaussian_filter(noise, 2.5)
    return 20 + 215 * (smooth - smooth.min()) / np.ptp(smooth)


def moving(
    velocity: tuple[float, float], *, frames: int = 6, seed: int = 0, side: int = SIDE
) -> NDArray[np.uint8]:
    """A clip T x side x side x 3 whose content moves by (right, down) pixels a frame."""
    right, down = velocity
    ground = texture(seed, 3 * side)
    y, x = np.mgrid[side : 2 * side, side : 2 * side].astype(float)
    shown = [
        map_coordinates(ground, [y - t * down, x - t * right], order=3, mode="wrap")
        for t in range(frames)
    ]
    grey = np.clip(np.rint(np.stack(shown)), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)


@dataclass
class Moving:
    """A store of clips in memory, as flow needs it."""

    clips: list[NDArray[np.uint8]]
    labels: list[int] = field(default_factory=list)
    class_names: tuple[str, ...] = ("a", "b")
    read: int = 0
    every: int = 1

    def __post_init__(self) -> None:
        self.labels = self.labels or [i % 2 for i in range(len(self.clips))]
        self.keys = tuple(f"clip{i}" for i in range(len(self.clips)))
        self.groups: tuple[str | None, ...] = (None,) * len(self.clips)

    def __len__(self) -> int:
        return len(self.clips)

    def frames(self, index: int) -> NDArray[np.uint8]:
        self.read += 1
        return self.clips[index]

    @property
    def identities(self) -> tuple[str, ...]:
        return tuple(str(hash(clip.tobytes())) for clip in self.clips)


def middle(field_THWC: NDArray[Any], margin: int = 12) -> NDArray[Any]:
    """A field or a clip without its borders, where content comes and goes."""
    return field_THWC[..., margin:-margin, margin:-margin, :]
