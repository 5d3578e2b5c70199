"""Frames of a camera or a pipe as they come, at an even rate."""

from __future__ import annotations

import math
import stat
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any, NamedTuple

from expand3d.core.errors import DataError
from expand3d.data.video_info import TOLERANCE, Frame

if TYPE_CHECKING:
    from av.container import InputContainer

#: Standard input, as a source of video.
STDIN = "-"
#: Seconds after which a source that says nothing is left, to see whether to go on.
TICK = 0.2
#: Options of FFmpeg: look at a second of a stream, and no more, before the first frame.
PROMPT = {"analyzeduration": "1000000"}


class Arrived(NamedTuple):
    """A frame, how often it is shown at the wanted rate, and when it came (monotonic seconds)."""

    frame: Frame
    times: int
    at: float


def is_live(source: str) -> bool:
    """True of a camera's number, a pipe, and standard input."""
    if source == STDIN or source.isdecimal():
        return True
    try:
        return stat.S_ISFIFO(Path(source).stat().st_mode)
    except OSError:
        return False


def live_frames(source: str, *, fps: float) -> Generator[list[Arrived]]:
    """All frames that came since the last ones were taken, at `fps` by their time stamps.

    None of them where nothing came for TICK seconds, so that the caller may end it. A thread reads
    them, so that the source never waits. DataError where there is no such camera, or no video in
    it.
    """
    queue: Queue[Arrived | BaseException | None] = Queue()
    reader = threading.Thread(target=_read, args=(source, fps, queue), daemon=True)
    reader.start()
    ended = False
    while not ended:
        came: list[Arrived] = []
        try:
            item = queue.get(timeout=TICK)
        except Empty:
            yield came
            continue
        while True:
            if item is None:
                ended = True
                break
            if isinstance(item, BaseException):
                raise item
            came.append(item)
            if queue.empty():
                break
            item = queue.get()
        if came:
            yield came


def _read(source: str, fps: float, queue: Queue[Arrived | BaseException | None]) -> None:
    import av

    try:
        with _opened(source) as container:
            if not container.streams.video:
                raise DataError(f"{source}: no video stream")
            _resample(container, fps, queue)
        queue.put(None)
    except av.FFmpegError as error:
        fault = (error.strerror or type(error).__name__).lower()
        queue.put(DataError(f"{_name(source)} cannot be read ({fault})"))
    except BaseException as error:
        queue.put(error)


def _opened(source: str) -> InputContainer:
    import av

    if source.isdecimal():
        device = Path(f"/dev/video{source}")
        if not device.exists():
            there = sorted(str(path) for path in Path("/dev").glob("video*"))
            known = f"; there are {', '.join(there)}" if there else ""
            raise DataError(f"camera {source}: there is no {device}{known}")
        return av.open(str(device), "r", format="v4l2")
    if source == STDIN:
        return av.open(sys.stdin.buffer, "r", options=PROMPT)
    return av.open(source, "r", options=PROMPT)


def _name(source: str) -> str:
    return f"camera {source}" if source.isdecimal() else source


def _resample(container: InputContainer, fps: float, queue: Queue[Any]) -> None:
    """Put each frame once the next one says how long it is shown; by arrival without a stamp."""
    stream = container.streams.video[0]
    # A decoder with threads of frames holds several of them back.
    stream.codec_context.thread_type = "SLICE"
    first, taken = None, 0
    waiting: tuple[Frame, float] | None = None
    for frame in container.decode(stream):
        at = time.monotonic()
        now = at if frame.time is None else frame.time
        first = now if first is None else first
        due = max(taken, math.ceil((now - first) * fps - TOLERANCE))
        if waiting is not None and due > taken:
            queue.put(Arrived(waiting[0], due - taken, waiting[1]))
            taken = due
        pixels: Any = frame.to_ndarray(format="rgb24")
        waiting = pixels, at
    if waiting is not None:
        queue.put(Arrived(waiting[0], 1, waiting[1]))
