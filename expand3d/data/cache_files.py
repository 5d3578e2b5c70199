"""Files of the cache as they are read: mapped, or decoded and kept for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expand3d.data.clip_file import HEADER_BYTES
from expand3d.data.decode import Frame

#: Cache files that stay mapped at a time; Linux allows a process 65,530 maps.
MOST_MAPPED = 4096


@dataclass(frozen=True)
class CacheFile:
    """A cache file, of whose frames the first and `every` so many-th after it are read."""

    path: Path
    every: int = 1

    def load(self) -> Frame | None:
        """The clip, mapped and read-only; None where the file is missing or damaged."""
        try:
            return np.asarray(np.load(self.path, mmap_mode="r"))[:: self.every]
        except (OSError, ValueError, EOFError):
            return None

    def bytes(self) -> int:
        """Bytes of a file of the frames that are read, 0 where there are none."""
        clip = self.load()
        return 0 if clip is None else clip.nbytes + HEADER_BYTES


class Mapped:
    """Cache files that stay mapped: opening one takes as long as reading a small view of it."""

    def __init__(self) -> None:
        self._clips: dict[Path, Frame] = {}

    def get(self, file: CacheFile) -> Frame | None:
        """The clip in a cache file; None where the file is missing or damaged."""
        clip = self._clips.get(file.path)
        if clip is None and (clip := file.load()) is not None:
            if len(self._clips) >= MOST_MAPPED:
                self._clips.clear()
            self._clips[file.path] = clip
        return clip

    def __reduce__(self) -> tuple[type[Mapped], tuple[()]]:
        # A copy in another process maps them anew; pickled, the maps would be whole clips.
        return Mapped, ()


class Recent:
    """The clips asked for last, as many as fit into `limit` bytes (and always one)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._clips: OrderedDict[int, Frame] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, index: int, make: Callable[[], Frame]) -> Frame:
        with self._lock:
            clip = self._clips.pop(index, None)
        if clip is None:
            clip = make()
            clip.setflags(write=False)
        with self._lock:
            self._clips[index] = clip
            while len(self._clips) > 1 and self._bytes() > self._limit:
                self._clips.popitem(last=False)
        return clip

    def _bytes(self) -> int:
        return sum(clip.nbytes for clip in self._clips.values())

    def __reduce__(self) -> tuple[type[Recent], tuple[int]]:
        # A copy in another process starts empty; a lock cannot travel.
        return Recent, (self._limit,)
