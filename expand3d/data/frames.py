"""The order of clips, and the frames of each view: pure functions of the seed and the clip.

Randomness is counter-based: every draw is keyed by what it is for (seed, epoch, clip), so that it
depends neither on a worker's state nor on what was drawn before, and is the same after a resume.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from expand3d.core.genotype import canonical


def derived_seed(*key: Any) -> int:
    """A non-negative 63-bit seed that is the same for equal keys (JSON values)."""
    return int.from_bytes(hashlib.sha256(canonical(key).encode()).digest()[:8], "little") >> 1


def generator(*key: Any) -> np.random.Generator:
    """A counter-based generator (Philox) whose stream belongs to `key` alone."""
    return np.random.Generator(np.random.Philox(derived_seed(*key)))


class Visit(NamedTuple):
    """One training clip seen once: `position` is its place among the training clips."""

    epoch: int
    position: int


def visits(seed: int, clips: int, *, start: int, count: int) -> list[Visit]:
    """Visits number `start` to `start + count` of an endless run over shuffled epochs.

    Each epoch sees every clip once, in an order drawn from (seed, epoch). A range may run over the
    end of an epoch into the next, so that all batches are full however few clips there are.
    """
    epochs = range(start // clips, (start + count - 1) // clips + 1)
    orders = {epoch: generator("order", seed, epoch).permutation(clips) for epoch in epochs}
    wanted = (divmod(number, clips) for number in range(start, start + count))
    return [Visit(epoch, int(orders[epoch][place])) for epoch, place in wanted]


def balanced_visits(seed: int, labels: Sequence[int], *, start: int, count: int) -> list[Visit]:
    """As `visits`, with every class equally often: each is there once in as many visits as classes.

    `labels` are those of the training clips. A class passes through its clips in orders of its own,
    so `epoch` counts how often a clip was seen.
    """
    members: dict[int, list[int]] = {}
    for position, label in enumerate(labels):
        members.setdefault(label, []).append(position)
    classes, found = sorted(members), []
    for number in range(start, start + count):
        turn, place = divmod(number, len(classes))
        among = int(generator("class order", seed, turn).permutation(len(classes))[place])
        of = members[classes[among]]
        epoch, place = divmod(turn, len(of))
        order = generator("order in class", seed, classes[among], epoch).permutation(len(of))
        found.append(Visit(epoch, of[int(order[place])]))
    return found


def last_start(length: int, frames: int, stride: int) -> int:
    """The last frame at which `frames` frames, `stride` apart, may start within `length` frames.

    0 where the video is too short for any start: its last frame is then held.
    """
    return max(0, length - ((frames - 1) * stride + 1))


def train_start(length: int, frames: int, stride: int, uniform: float) -> int:
    """The start, uniform over the legal ones, that `uniform` in [0, 1) stands for."""
    return int(uniform * (last_start(length, frames, stride) + 1))


def test_starts(length: int, frames: int, stride: int, views: int) -> list[int]:
    """The starts of `views` views: the middles of as many equal parts of the legal starts.

    One view is the centre of the video.
    """
    legal = last_start(length, frames, stride) + 1
    return [(2 * view + 1) * legal // (2 * views) for view in range(views)]


def segment_starts(length: int, span: int, places: Sequence[float | Fraction]) -> list[int]:
    """A start in each of as many equal parts of the legal starts as there are `places`.

    `span` is the number of frames from a segment's first to its last; a place in [0, 1) says where
    in its part a start lies, 0.5 in the middle.
    """
    legal = max(0, length - span) + 1
    return [int((part + place) * legal / len(places)) for part, place in enumerate(places)]


def frame_indices(length: int, start: int, frames: int, stride: int) -> NDArray[np.intp]:
    """The frames of one view, `frames` numbers; past the end the last frame is held."""
    return np.minimum(start + stride * np.arange(frames), length - 1)
