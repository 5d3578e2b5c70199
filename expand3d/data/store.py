"""Stores of decoded clips by number with their labels, all that training needs of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import DataError
from expand3d.core.input_kinds import Source

#: What clips of equal `identities` agree in, as a note calls it.
FRAMES = "clip content, rate or size"


class Clip(Protocol):
    """A clip as an array, uint8 T x H x W x C, whose frames may be decoded when they are read."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...

    def __array__(self) -> NDArray[np.uint8]: ...


class ClipStore(Protocol):
    """Videos decoded at the target frame rate, in manifest order.

    `keys` name the clips stably and uniquely (the path as the manifest writes it); they are what
    augmentation and pairing of results hang on. `identities` name what a clip's frames are made of,
    the video's content, frame rate and size: equal ones are equal frames, wherever they are.
    `groups` holds the scene or person, or None. Of each video every `every`-th frame is kept.
    """

    @property
    def keys(self) -> Sequence[str]: ...

    @property
    def identities(self) -> Sequence[str]: ...

    @property
    def labels(self) -> Sequence[int]: ...

    @property
    def groups(self) -> Sequence[str | None]: ...

    @property
    def class_names(self) -> Sequence[str]: ...

    @property
    def every(self) -> int: ...

    def __len__(self) -> int: ...

    def frames(self, index: int) -> Clip:
        """Clip `index` as read-only uint8 T x H x W x 3 (RGB), short side as cached; T >= 1."""
        ...


def pictures(store: ClipStore, index: int, source: Source) -> Clip:
    """The pictures of clip `index` from one source, uint8 T x H x W x C; DataError without it."""
    if source == "frames":
        return store.frames(index)
    found: Clip = getattr(_with_flow(store), source)(index)
    return found


def step_of(store: ClipStore, source: Source) -> int:
    """Frames from one picture of a source to the next one of a stack."""
    return 1 if source == "frames" else int(_with_flow(store).spec.distance)


def bound_of(store: ClipStore) -> float:
    """The largest vector of the flow in pixels."""
    return float(_with_flow(store).spec.bound)


def _with_flow(store: ClipStore) -> Any:
    if not hasattr(store, "flow"):
        raise DataError("the network reads optical flow, and these clips have none")
    return store
