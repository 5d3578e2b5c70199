"""The file of one decoded clip: written while the video is decoded, one frame in memory."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import IO, Any

import numpy as np

from expand3d.core.files import unique_temporary
from expand3d.data.decode import decode_to
from expand3d.data.video_info import Frame

#: Bytes before the frames of a .npy file, whatever their number.
HEADER_BYTES = 128


class BeyondCap(Exception):
    """A clip is longer than was planned for, and the cap of the cache has no room for more."""


class Room:
    """Bytes that may still be written under a cap (None: no cap), shared by all that write."""

    def __init__(self, cap: int | None, planned: int) -> None:
        self._left = None if cap is None else cap - planned
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Take `count` bytes, or give them back where negative; BeyondCap where there are fewer."""
        with self._lock:
            if self._left is None:
                return
            if count > max(0, self._left):
                raise BeyondCap
            self._left -= count


def write_clip(
    video: Path,
    file: Path,
    *,
    fps: float,
    short_side: int,
    every: int = 1,
    room: Room,
    reserved: int,
) -> None:
    """Decode a video into `file`, which appears whole or not at all, as `decode` gives it.

    `reserved` bytes of the cap are this clip's; what it does not need goes back to `room`, what it
    needs beyond comes from there. Raises BeyondCap and DataError.
    """
    file.parent.mkdir(exist_ok=True)
    temporary = unique_temporary(file)
    try:
        with temporary.open("w+b") as out:
            writer = _Writer(out, room, reserved)
            try:
                form: Any = {"fps": fps, "short_side": short_side, "every": every}
                decode_to(video, writer.begin, writer.take, **form)
                writer.finish()
            except BaseException:
                room.take(-writer.reserved)
                raise
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


class _Writer:
    """An .npy file under construction."""

    def __init__(self, out: IO[bytes], room: Room, reserved: int) -> None:
        self._out = out
        self._room = room
        self.reserved = reserved
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def begin(self) -> None:
        """Leave room for the header; drop what was written."""
        self._out.seek(HEADER_BYTES)
        self._out.truncate()
        self._count = 0

    def take(self, frame: Frame, times: int) -> None:
        """Write a frame `times` times."""
        self._shape = frame.shape
        self._count += times
        lacking = HEADER_BYTES + self._count * frame.nbytes - self.reserved
        if lacking > 0:
            self._room.take(lacking)
            self.reserved += lacking
        for _ in range(times):
            self._out.write(frame.data)

    def finish(self) -> None:
        """Write the header, now that the number of frames is known."""
        header = io.BytesIO()
        shape = (self._count, *self._shape)
        facts = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, facts)
        assert header.tell() == HEADER_BYTES
        self._out.seek(0)
        self._out.write(header.getvalue())
        unused = self.reserved - HEADER_BYTES - self._count * int(np.prod(self._shape))
        self._room.take(-unused)
        self.reserved -= unused
