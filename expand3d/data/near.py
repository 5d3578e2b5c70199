"""Nearly the same film twice: re-encoded, scaled, cropped or cut a little later.

A video becomes small grey pictures, four a second. Two videos are near copies where, at some shift
in time and some crop, their pictures agree and so does what moves in them: clips of one scene
share the first alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expand3d.data.decode import decode_frames

Thumbs = NDArray[np.uint8]
Floats = NDArray[np.float32]

#: Pictures a second and at most, and pixels of their sides as they are kept and compared.
RATE, MOST, SIDE, SMALL = 4.0, 24, 32, 16
#: Windows of a picture (left, top, side), as shares: the whole, and what crops leave.
WINDOWS = (
    *((0.0, 0.0, 1.0), (0.05, 0.05, 0.9), (0.1, 0.1, 0.8)),
    *((0.0, 0.0, 0.9), (0.0, 0.1, 0.9), (0.1, 0.0, 0.9), (0.1, 0.1, 0.9)),
)
#: Correlations from which on pictures in the mean, pictures, and what moves in them agree.
ALIKE, SAME_PICTURES, SAME_MOTION = 0.85, 0.90, 0.70
#: Grey levels of motion below which there is nothing to compare but pictures, which must agree so.
STILL, SAME_STILL = 1.0, 0.98
#: Videos whose pairs are looked at in one go, and above which pairs are too many to look at.
BLOCK, MOST_COMPARED = 512, 30_000


@dataclass(frozen=True)
class Near:
    """Two videos by index, the first before the second, and how well they agree, 0 to 1."""

    first: int
    second: int
    agreement: float


def thumbnails(path: Path) -> Thumbs:
    """The first pictures of a video, T x SIDE x SIDE in grey; DataError where it cannot be read."""
    found = []
    for frame in decode_frames(path, fps=RATE, short_side=2 * SIDE)[:MOST]:
        grey = frame.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
        rows, columns = (_averages(size, SIDE, 0.0, 1.0) for size in grey.shape)
        found.append(rows @ grey @ columns.T)
    return np.round(np.stack(found)).astype(np.uint8)


def near_copies(videos: Sequence[Thumbs]) -> tuple[Near, ...]:
    """The pairs of videos that are nearly the same film, in order."""
    if len(videos) < 2:
        return ()
    means = np.stack([_windows(thumbs.mean(axis=0, keepdims=True))[:, 0] for thumbs in videos])
    flat = _unit(means.reshape(len(videos), len(WINDOWS), -1))
    found = []
    for first, second in _alike(flat):
        if (agreement := _agreement(videos[first], videos[second])) is not None:
            found.append(Near(first, second, agreement))
    return tuple(sorted(found, key=lambda near: (near.first, near.second)))


def _alike(flat: Floats) -> Iterator[tuple[int, int]]:
    """The pairs whose mean pictures agree in some window of one or of the other."""
    count = len(flat)
    for begin in range(0, count, BLOCK):
        rows = slice(begin, min(begin + BLOCK, count))
        best = np.full((rows.stop - begin, count - begin), -1.0, dtype=np.float32)
        for window in range(len(WINDOWS)):
            np.maximum(best, flat[rows, 0] @ flat[begin:, window].T, out=best)
            np.maximum(best, flat[rows, window] @ flat[begin:, 0].T, out=best)
        for one, other in np.argwhere(best >= ALIKE):
            if one < other:
                yield begin + int(one), begin + int(other)


def _agreement(first: Thumbs, second: Thumbs) -> float | None:
    """The agreement of two videos where they are near copies; None where they are none."""
    a, b = _windows(first), _windows(second)
    means = [_unit(each.mean(axis=1).reshape(len(WINDOWS), -1)) for each in (a, b)]
    alike = means[0] @ means[1].T
    best = None
    for left, right in (*((0, w) for w in range(len(WINDOWS))), *_later_windows()):
        if alike[left, right] < ALIKE:
            continue
        for x, y in _shifted(a[left], b[right]):
            score = _score(x, y)
            if score is not None and (best is None or score > best):
                best = score
    return best


def _later_windows() -> Iterator[tuple[int, int]]:
    return ((window, 0) for window in range(1, len(WINDOWS)))


def _shifted(one: Floats, other: Floats) -> Iterator[tuple[Floats, Floats]]:
    """The pictures that stand side by side, shifted by up to a second; half at least must."""
    least = max(1, (min(len(one), len(other)) + 1) // 2)
    for shift in range(-int(RATE), int(RATE) + 1):
        x, y = one[max(0, shift) :], other[max(0, -shift) :]
        length = min(len(x), len(y))
        if length >= least:
            yield x[:length], y[:length]


def _score(x: Floats, y: Floats) -> float | None:
    pictures = float((_unit(x.reshape(len(x), -1)) * _unit(y.reshape(len(y), -1))).sum(-1).mean())
    if pictures < SAME_PICTURES:
        return None
    moving = [each - each.mean(axis=0) for each in (x, y)]
    if min(float(each.std()) for each in moving) < STILL:
        return pictures if pictures >= SAME_STILL else None
    motion = float((_unit(moving[0].reshape(1, -1)) * _unit(moving[1].reshape(1, -1))).sum())
    return motion if motion >= SAME_MOTION else None


def _unit(vectors: Floats) -> Floats:
    """The vectors without their mean, of length 1."""
    centred = vectors - vectors.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=-1, keepdims=True), 1e-6))


def _windows(thumbs: NDArray[np.generic]) -> Floats:
    """The windows of pictures T x SIDE x SIDE, windows x T x SMALL x SMALL."""
    pictures = np.asarray(thumbs, dtype=np.float32)
    found = []
    for left, top, side in WINDOWS:
        rows, columns = (_averages(SIDE, SMALL, place, side) for place in (top, left))
        found.append(rows @ pictures @ columns.T)
    return np.stack(found)


@cache
def _averages(size: int, parts: int, begin: float, share: float) -> Floats:
    """A matrix parts x size that averages over equal parts of a stretch of a line of pixels."""
    edges = (begin + share * np.arange(parts + 1) / parts) * size
    low = np.maximum(np.arange(size), edges[:-1, None])
    high = np.minimum(np.arange(1, size + 1), edges[1:, None])
    weights = np.maximum(high - low, 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
