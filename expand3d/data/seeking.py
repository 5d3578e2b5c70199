"""Single frames of a video, by seeking: the same bits as decoding it from the beginning gives.

A video is read to its end once, which leaves an index: the time of each frame, its stamp in the
file, where decoding may begin, and a sum of its pixels. Where a frame that was sought has another
sum, the demuxer or the decoder was misled, as by pictures that refer to others behind the place
where decoding began; the video is then read from its beginning, as it always is where stamps are
missing or run backward.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import DataError
from expand3d.core.files import make_folder, written_whole
from expand3d.data import pictures
from expand3d.data.decode import (
    converter,
    each_frame,
    frames_from_here,
    opened_video,
    quarter_turns,
)
from expand3d.data.video_info import Frame, scaled_size, shown

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


#: Part of the name of every index's file; a change to what `index_of` returns must change it.
FORMAT = "expand3d index 1"
#: The folder of the indexes, below that of the cache.
INDEXES = "index"


class Misled(Exception):
    """Seeking came to other pixels than reading from the beginning."""


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a video in the order of showing, and its size in pixels, upright.

    `turns` are quarter turns that bring a decoded frame upright. `times` are the seconds at which
    frames begin, `seconds` those at which the last ends. Decoding may begin at the frames `keys`,
    whose stamps are among `ticks`; without seeking `keys` is 0 alone. `sums` are of their pixels. A
    folder of pictures shows `rate` a second, 0 for files.
    """

    width: int
    height: int
    turns: int
    seconds: float
    rate: float
    times: NDArray[np.float64] = field(repr=False)
    ticks: NDArray[np.int64] = field(repr=False)
    keys: NDArray[np.int64] = field(repr=False)
    sums: NDArray[np.uint32] = field(repr=False)

    def kept(self, fps: float, every: int = 1) -> NDArray[np.intp]:
        """The number of the frame that stands at each place of a clip, as `decode` places them."""
        due = np.arange(len(self.times)) * fps / self.rate if self.rate else self.times * fps
        return shown(due, self.seconds, fps=fps, every=every)

    def size(self, short_side: int) -> tuple[int, int]:
        """Width and height in pixels of the frames of a clip."""
        return scaled_size(self.width, self.height, short_side)

    def unsought(self) -> FrameIndex:
        """The same, but that the video is read from its beginning."""
        return replace(self, keys=np.zeros(1, np.int64))

    def save(self, file: Path) -> None:
        """Write the index, whole or not at all."""
        packed = io.BytesIO()
        np.savez(packed, **{each.name: getattr(self, each.name) for each in fields(self)})
        make_folder(file.parent)
        with written_whole(file) as out:
            out.write(packed.getvalue())

    @classmethod
    def load(cls, file: Path) -> FrameIndex | None:
        """The index in a file; None where it is missing or damaged."""
        with suppress(OSError, ValueError, EOFError, KeyError, zlib.error, BadZipFile):
            found: Any = np.load(file)
            if isinstance(found, np.lib.npyio.NpzFile):
                with found:
                    values = {each.name: found[each.name] for each in fields(cls)}
                facts: Any = {k: v if v.ndim else v.item() for k, v in values.items()}
                return cls(**facts)
        return None


def index_name(sha: str) -> str:
    """The file of the index of a video whose content has this SHA-256, relative to the cache."""
    digest = hashlib.sha256(f"{FORMAT} {sha}".encode()).hexdigest()[:32]
    return f"{INDEXES}/{digest[:2]}/{digest}.npz"


def index_of(path: Path) -> FrameIndex:
    """The index of a video, which is decoded to its end; DataError as `verify`."""
    if (folder := pictures.rate_of(path)) is not None:
        info = pictures.verify(path)
        times, none = np.arange(info.frames) / folder, np.zeros(0, np.int64)
        facts = (info.width, info.height, 0, info.duration_s, folder)
        return FrameIndex(*facts, times, none, none, none.astype(np.uint32))
    seen = _Seen()
    info = each_frame(path, seen.begin, seen.look)
    ticks = np.array([-1 if tick is None else tick for tick in seen.ticks], np.int64)
    known = None not in seen.ticks and bool(np.all(np.diff(ticks) > 0))
    keys = sorted({0, *seen.keys}) if known else [0]
    return FrameIndex(
        *(info.width, info.height, seen.turns, info.duration_s, 0.0),
        times=np.array(seen.times),
        ticks=ticks,
        keys=np.array(keys, np.int64),
        sums=np.array(seen.sums, np.uint32),
    )


class _Seen:
    """The notes on each frame."""

    def begin(self) -> None:
        self.turns = 0
        self.times: list[float] = []
        self.ticks: list[int | None] = []
        self.keys: list[int] = []
        self.sums: list[int] = []

    def look(self, frame: VideoFrame, seconds: float) -> None:
        if not self.times:
            self.turns = quarter_turns(frame)
        if frame.key_frame:
            self.keys.append(len(self.times))
        self.times.append(seconds)
        self.ticks.append(frame.pts)
        self.sums.append(_sum(frame))


def _sum(frame: VideoFrame) -> int:
    """A sum of a frame's pixels as they are decoded, without what stands between its rows."""
    parts, found = frame.format.components, 0
    if len(parts) != len(frame.planes) or any(part.bits != 8 for part in parts):
        return zlib.crc32(frame.to_ndarray(format="rgb24").tobytes())
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
        found = zlib.crc32(rows[:, : plane.width].tobytes(), found)
    return found


def frames_at(
    path: Path, index: FrameIndex, numbers: Sequence[int], *, short_side: int
) -> dict[int, Frame]:
    """The frames of some `numbers`, ascending, as `decode` gives them; no others are converted.

    Misled where seeking came to other frames, DataError where the video is not the indexed one.
    """
    if index.rate:
        size = index.width, index.height
        return pictures.some(path, numbers, size=size, of=len(index.times), short_side=short_side)
    width, height = index.width, index.height
    if index.turns % 2:
        width, height = height, width
    convert, found = converter(width, height, index.turns, short_side), {}
    sought = len(index.keys) > 1
    try:
        for number, frame in _sought(path, index, numbers):
            if _sum(frame) != index.sums[number]:
                raise Misled
            found[number] = convert(frame)
        return found
    except DataError:
        if not sought:
            raise
        raise Misled from None
    except Misled:
        if sought:
            raise
        raise DataError(f"{path}: its frames are no longer what they were") from None


def _sought(
    path: Path, index: FrameIndex, numbers: Sequence[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """The decoded frames of some numbers, ascending; Misled where one does not come."""
    with opened_video(path) as (container, stream):
        frames, at, by_stamp = frames_from_here(path, container, stream), -1, False
        for number in numbers:
            key = int(index.keys[np.searchsorted(index.keys, number, side="right") - 1])
            if key > max(0, at):
                container.seek(int(index.ticks[key]), stream=stream)
                frames, by_stamp = frames_from_here(path, container, stream), True
            for frame in frames:
                at = _number(frame, index) if by_stamp else at + 1
                if at >= number:
                    break
            if at != number:
                raise Misled
            yield number, frame


def _number(frame: VideoFrame, index: FrameIndex) -> int:
    """The number of a frame by its stamp; -1 where none has it."""
    if frame.pts is None:
        raise Misled
    place = int(np.searchsorted(index.ticks, frame.pts))
    return place if place < len(index.ticks) and index.ticks[place] == frame.pts else -1
