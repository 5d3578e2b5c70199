"""Clips that are read from their videos: each view decodes the frames that it shows, no others.

The values are those of the cache. A clip that is read again and again, as by the views of a test,
is decoded whole once and kept for a while.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expand3d.data.cache_files import Recent
from expand3d.data.decode import decode
from expand3d.data.seeking import FrameIndex, Misled, frames_at, index_name, index_of
from expand3d.data.video_info import Frame

#: Clips that are kept in memory whole, per process, and the largest of them.
MEMORY_BYTES, LARGEST_BYTES = 256 * 2**20, 64 * 2**20
#: A clip is decoded whole once it was read this often among the clips that were read last.
READS, LAST = 2, 16
#: Indexes of videos that are kept in memory, per process.
INDEXES = 4096


class StreamedClip:
    """A clip as an array, uint8 T x H x W x 3, whose frames are decoded when they are asked for."""

    dtype = np.dtype(np.uint8)

    def __init__(
        self, shape: tuple[int, int, int, int], read: Callable[[NDArray[np.intp]], Sequence[Frame]]
    ) -> None:
        self.shape = shape
        self._read = read

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        first, *rest = key if isinstance(key, tuple) else (key,)
        places = np.arange(len(self))[first]
        found = self._read(np.atleast_1d(places))
        if not found:
            return np.empty((0, *self.shape[1:]), np.uint8)[(slice(None), *rest)]
        cut = [frame[tuple(rest)] for frame in found]
        return np.stack(cut) if np.ndim(places) else cut[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = self[:]
        whole.setflags(write=False)
        return whole if dtype is None else whole.astype(dtype)


class Streams:
    """The videos of a store as clips in one form, by number.

    Their indexes are in the cache at `root`, by the SHA-256 of the videos' content. May be pickled.
    """

    def __init__(
        self,
        videos: Sequence[Path],
        root: Path,
        shas: Sequence[str],
        *,
        fps: float,
        side: int,
        every: int,
    ) -> None:
        self._videos, self._root, self._shas = videos, root, shas
        self._fps, self._side, self._every = fps, side, every
        self._begin()

    def _begin(self) -> None:
        self._whole = Recent(MEMORY_BYTES)
        self._lock = threading.Lock()
        self._known: OrderedDict[int, FrameIndex] = OrderedDict()
        self._reads: OrderedDict[int, int] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k in _TRAVELS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()

    def clip(self, number: int) -> StreamedClip:
        """A clip, of which nothing is decoded yet."""
        index = self._index(number)
        width, height = index.size(self._side)
        shape = (len(index.kept(self._fps, self._every)), height, width, 3)
        return StreamedClip(shape, partial(self._read, number, shape))

    def _read(
        self, number: int, shape: tuple[int, ...], places: NDArray[np.intp]
    ) -> Sequence[Frame]:
        """The frames at some places of a clip."""
        if self._is_often_read(number) and int(np.prod(shape)) <= LARGEST_BYTES:
            form: Any = {"fps": self._fps, "short_side": self._side, "every": self._every}
            whole = self._whole.get(number, lambda: decode(self._videos[number], **form))
            return [whole[place] for place in places]
        index = self._index(number)
        wanted = index.kept(self._fps, self._every)[places]
        numbers = [int(frame) for frame in np.unique(wanted)]
        try:
            found = frames_at(self._videos[number], index, numbers, short_side=self._side)
        except Misled:
            index = self._note(number, index.unsought())
            found = frames_at(self._videos[number], index, numbers, short_side=self._side)
        return [found[frame] for frame in wanted]

    def _is_often_read(self, number: int) -> bool:
        with self._lock:
            reads = self._reads.pop(number, 0) + 1
            self._reads[number] = reads
            if len(self._reads) > LAST:
                self._reads.popitem(last=False)
        return reads > READS

    def _index(self, number: int) -> FrameIndex:
        """The index of a video, made anew where its file is not there."""
        with self._lock:
            found = self._known.get(number)
        if found is None:
            found = FrameIndex.load(self._file(number)) or index_of(self._videos[number])
            self._note(number, found)
        return found

    def _file(self, number: int) -> Path:
        return self._root / index_name(self._shas[number])

    def _note(self, number: int, index: FrameIndex) -> FrameIndex:
        with self._lock:
            self._known[number] = index
            if len(self._known) > INDEXES:
                self._known.popitem(last=False)
        return index


#: What a copy in another process takes along.
_TRAVELS = ("_videos", "_root", "_shas", "_fps", "_side", "_every")
