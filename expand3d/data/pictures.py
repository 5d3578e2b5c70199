"""Folders of pictures as videos: evenly shown at a stated rate, each picture read by itself.

Only the pictures that are wanted are decoded. A picture that is damaged, or of another size than
the first, is refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expand3d.core.errors import DataError
from expand3d.data.places import Pictures, pictures_in, pictures_of
from expand3d.data.scale import scaler
from expand3d.data.video_info import TOLERANCE, Frame, VideoInfo, frame_count, scaled_size

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

#: The end of a JPEG, and the bytes that may stand behind it.
_END, _BEHIND = b"\xff\xd9", 4096


def is_folder(path: Path) -> bool:
    """True where a path names a folder of pictures."""
    return pictures_of(path) is not None


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
    wanted = -(-frame_count(len(files) / where.fps, fps) // every)
    # Picture i is shown from the first k on for which this holds: i / rate * fps - TOLERANCE <= k.
    starts = -(-np.ceil(np.arange(len(files)) * fps / where.fps - TOLERANCE).astype(int) // every)
    starts[0] = 0
    ends = np.minimum(np.append(starts[1:], wanted), wanted)
    scale, size = scaler(), None
    for file, times in zip(files, ends - starts, strict=True):
        if times > 0:
            frame, _ = _picture(file) if size is None else _sized(file, size)
            size = frame.width, frame.height
            pixels = scale(frame, *scaled_size(*size, short_side))
            take(np.ascontiguousarray(pixels), int(times))


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
