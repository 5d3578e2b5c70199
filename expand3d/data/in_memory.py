"""One video as a network's training read it, in memory: the views of files and of windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import DataError
from expand3d.core.input_kinds import Source
from expand3d.data.decode import decode
from expand3d.data.flow.quantise import quantise
from expand3d.data.flow.store import FlowSpec, flow_of

#: All fields of one source, uint8 T x h x w x 2 as `quantise` writes them.
Fields = Callable[[Source], NDArray[np.uint8]]


@dataclass(frozen=True)
class Reading:
    """The form in which a network's training read videos.

    They are decoded at `fps`, with a short side of `side` pixels where they are not smaller. Flow
    is computed by `flow` from clips of `flow_side` pixels; it is None where none is read, or where
    nobody knows how it was made.
    """

    fps: float
    side: int
    flow: FlowSpec | None = None
    flow_side: int = 0


class InMemory:
    """The frames of one video as a `ClipStore` of one clip; `fields` gives its flow."""

    def __init__(
        self,
        frames_THWC: NDArray[np.uint8],
        *,
        key: str = "",
        spec: FlowSpec | None = None,
        fields: Fields | None = None,
    ) -> None:
        self.keys: Sequence[str] = (key,)
        self.identities: Sequence[str] = (key,)
        self.labels: Sequence[int] = (0,)
        self.groups: Sequence[str | None] = (None,)
        self.class_names: Sequence[str] = ()
        self.every = 1
        self.spec = spec
        self._frames, self._of = frames_THWC, fields
        self._kept: dict[Source, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return 1

    def frames(self, index: int) -> NDArray[np.uint8]:
        """The clip as uint8 T x H x W x 3."""
        return self._frames

    def flow(self, index: int) -> NDArray[np.uint8]:
        """Flow of the clip, uint8 T x h x w x 2."""
        return self._fields("flow")

    def warped(self, index: int) -> NDArray[np.uint8]:
        """The same less the camera's motion."""
        return self._fields("warped")

    def backward(self, index: int) -> NDArray[np.uint8]:
        """Flow back to each frame."""
        return self._fields("backward")

    def _fields(self, source: Source) -> NDArray[np.uint8]:
        if self._of is None:
            raise DataError(f"{self.keys[0]}: the network reads flow, and this clip has none")
        if source not in self._kept:
            self._kept[source] = self._of(source)
        return self._kept[source]


def read_whole(path: Path, reading: Reading) -> InMemory:
    """A video of a few minutes at most, decoded; DataError where it cannot be read."""
    frames = decode(path, fps=reading.fps, short_side=reading.side)
    spec = reading.flow
    if spec is None:
        return InMemory(frames, key=str(path))

    def fields(source: Source) -> NDArray[np.uint8]:
        of = frames
        if reading.flow_side != reading.side:
            of = decode(path, fps=reading.fps, short_side=reading.flow_side)
        return np.stack([quantise(field, spec.bound) for field in flow_of(of, spec, source)])

    return InMemory(frames, key=str(path), spec=spec, fields=fields)
