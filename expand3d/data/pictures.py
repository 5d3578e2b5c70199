"""Folders of pictures as videos: evenly shown at a stated rate, each picture read by itself.

Only the pictures that are wanted are decoded. A picture that is damaged, or of another size than
the first, is refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expand3d.core.errors import DataError
from expand3d.data.places import Pictures, pictures_in, pictures_of
from expand3d.data.scale import Scale, scaler
from expand3d.data.video_info import Frame, VideoInfo, scaled_size, shown

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

#: The end of a JPEG, and the bytes that may stand behind it.
_END, _BEHIND = b"\xff\xd9", 4096


def is_folder(path: Path) -> bool:
    """True where a path names a folder of pictures."""
    return pictures_of(path) is not None


def rate_of(path: Path) -> float | None:
    """The pictures that a folder of them shows a second; None where a path names none."""
    where = pictures_of(path)
    return None if where is None else where.fps


def probe(path: Path) -> VideoInfo:
    """The facts of a folder of pictures; only the first is decoded. DataError without any."""
    where, files = _found(path)
    first, codec = _picture(files[0])
    seconds = len(files) / where.fps
    return VideoInfo(len(files), where.fps, first.width, first.height, seconds, codec)


def verify(path: Path) -> VideoInfo:
    """The facts, once every picture was decoded; DataError names a picture and its fault."""
    info = probe(path)
    for file in _found(path)[1]:
        _sized(file, (info.width, info.height))
    return info


def give(
    path: Path,
    take: Callable[[Frame, int], None],
    *,
    fps: float,
    short_side: int | None,
    every: int,
) -> None:
    """Give the pictures shown at k / fps seconds, k a multiple of `every`, and how often each."""
    where, files = _found(path)
    due = np.arange(len(files)) * fps / where.fps
    numbers = shown(due, len(files) / where.fps, fps=fps, every=every)
    scale, size = scaler(), None
    for number, times in zip(*np.unique(numbers, return_counts=True), strict=True):
        frame, _ = _picture(files[number]) if size is None else _sized(files[number], size)
        size = frame.width, frame.height
        take(_scaled(scale, frame, size, short_side), int(times))


def some(
    path: Path, numbers: Sequence[int], *, size: tuple[int, int], of: int, short_side: int
) -> dict[int, Frame]:
    """The pictures of some numbers among as many as a folder has, as `give` gives them."""
    _, files = _found(path)
    if len(files) != of:
        raise DataError(f"{path}: {len(files)} pictures, {of} when it was first read")
    scale = scaler()
    return {
        number: _scaled(scale, _sized(files[number], size)[0], size, short_side)
        for number in numbers
    }


def _scaled(
    scale: Scale, frame: VideoFrame, size: tuple[int, int], short_side: int | None
) -> Frame:
    return np.ascontiguousarray(scale(frame, *scaled_size(*size, short_side)))


def _found(path: Path) -> tuple[Pictures, list[Path]]:
    where = pictures_of(path)
    assert where is not None
    if not where.folder.is_dir():
        raise DataError(f"{path}: missing")
    files = pictures_in(where.folder)
    if not files:
        raise DataError(f"{path}: a folder, not a video and without pictures")
    return where, files


def _sized(file: Path, size: tuple[int, int]) -> tuple[VideoFrame, str]:
    frame, codec = _picture(file)
    if (frame.width, frame.height) != size:
        raise DataError(
            f"{file.parent}: {file.name} has {frame.width} x {frame.height} pixels, pictures "
            f"before it {size[0]} x {size[1]}"
        )
    return frame, codec


def _picture(file: Path) -> tuple[VideoFrame, str]:
    """A decoded picture and the name of its codec."""
    import av

    fault = "no picture"
    try:
        with file.open("rb") as source:
            if _cut(source.read(2), file):
                raise DataError(f"{file.parent}: {file.name} is cut off")
            source.seek(0)
            with av.open(source, "r") as container:
                stream = container.streams.video[0]
                stream.codec_context.thread_count = 1
                frame = next(container.decode(stream), None)
                if frame is not None and not frame.is_corrupt:
                    return frame, stream.codec_context.name
    except OSError as error:
        fault = error.strerror or type(error).__name__
    except (av.FFmpegError, IndexError) as error:
        fault = str(getattr(error, "strerror", "") or fault).lower()
    raise DataError(f"{file.parent}: {file.name} is damaged ({fault.lower()})")


def _cut(head: bytes, file: Path) -> bool:
    """True for a JPEG without its end."""
    if head != b"\xff\xd8":
        return False
    with file.open("rb") as source:
        source.seek(max(0, file.stat().st_size - _BEHIND))
        return _END not in source.read()
