"""Video files to arrays of frames, by PyAV: upright, at one frame rate, no larger than needed.

The rules, in one place:

- A file is refused with a one-line reason where it is missing, empty, without video, or damaged.
  Damaged is: the decoder fails, the container marks a packet as corrupt, or frames that the
  container announces are not there. Only reading to the end finds these.
- Decoders deliver frames in the order in which they are shown. Their time stamps are used as long
  as they never run backward; where they do (AVI has no presentation times, and what is guessed for
  it is wrong under B-frames), frames are taken to be evenly spaced at the average rate.
- Frame k of the result is what the screen shows at k / fps seconds after the first frame.
- Rotation metadata is honoured; pixel aspect is not (as in other loaders, pixels count as square).
- Nothing is padded here: a short video gives few frames, at least one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import DataError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Frame = NDArray[np.uint8]

#: A frame counts as shown this much (of a target frame) early: containers round their time stamps.
TOLERANCE = 0.1
#: Seconds that a stream may be shorter than its container says before it counts as cut off.
MISSING_SECONDS = 0.2


@dataclass(frozen=True)
class VideoInfo:
    """One video: source frames and frames per second, display size (upright), seconds, codec."""

    frames: int
    fps: float
    width: int
    height: int
    duration_s: float
    codec: str

    @property
    def short_side(self) -> int:
        """Pixels of the shorter display side."""
        return min(self.width, self.height)

    def frames_at(self, fps: float) -> int:
        """Frames that the video has once resampled to `fps`; at least 1."""
        return frame_count(self.duration_s, fps)


def frame_count(seconds: float, fps: float) -> int:
    """Frames shown at 0, 1/fps, 2/fps, ... within `seconds`; at least 1."""
    return max(1, int(np.ceil(seconds * fps - TOLERANCE)))


def scaled_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Width and height with the shorter side brought down to `short_side` pixels, never up.

    The longer side keeps the aspect, rounded to an even number.
    """
    if short_side is None or min(width, height) <= short_side:
        return width, height
    longer = 2 * round(max(width, height) * short_side / min(width, height) / 2)
    longer = max(longer, short_side)
    return (short_side, longer) if width <= height else (longer, short_side)


def require_file(path: Path) -> os.stat_result:
    """The file's stat; DataError where it is missing, a folder, or empty."""
    if not path.is_file():
        raise DataError(f"{path}: {'a folder, not a video' if path.is_dir() else 'missing'}")
    stat = path.stat()
    if stat.st_size == 0:
        raise DataError(f"{path}: empty (0 bytes)")
    return stat


def probe(path: Path) -> VideoInfo:
    """Size, rate and length of a video as its container announces them; decodes one frame.

    Raises DataError where the file cannot be opened or its first frame cannot be decoded; damage
    further in is found by `verify` or `decode` alone.
    """
    with _opened(path) as (container, stream):
        first = next(container.decode(stream), None)
        if first is None:
            raise DataError(f"{path}: no frame could be decoded")
        rate = _rate(stream)
        seconds = _seconds(stream.duration, stream.time_base)
        seconds = seconds or _tagged_seconds(stream) or (container.duration or 0) / 1_000_000
        frames = stream.frames or round(seconds * rate)
        return _info(stream, first, max(1, frames), seconds or frames / rate)


def verify(path: Path) -> VideoInfo:
    """The video's facts, counted by decoding all of it; DataError names the file and its fault."""
    try:
        return _count(path, even=False)
    except _Backward:
        return _count(path, even=True)


def decode(path: Path, *, fps: float, short_side: int | None) -> NDArray[np.uint8]:
    """All of a video as uint8 T x H x W x 3 (RGB), upright, at `fps` frames per second.

    The short side is brought down to `short_side` pixels (None: left as it is), never up.
    Raises DataError naming the file and its fault.
    """
    return np.stack(decode_frames(path, fps=fps, short_side=short_side))


def decode_frames(path: Path, *, fps: float, short_side: int | None) -> list[Frame]:
    """As `decode`, frame by frame; a frame that is shown longer is one array listed repeatedly."""
    try:
        return _resample(path, fps=fps, short_side=short_side, even=False)
    except _Backward:
        return _resample(path, fps=fps, short_side=short_side, even=True)


class _Backward(Exception):
    """Time stamps are missing or run backward: they cannot be trusted."""


def _count(path: Path, *, even: bool) -> VideoInfo:
    """Decode everything, convert nothing."""
    with _opened(path) as (container, stream):
        clock, first = _Clock(stream, even=even), None
        for frame in _frames(path, container, stream):
            clock.tick(frame)
            first = first or frame
        assert first is not None
        return _info(stream, first, clock.count, clock.end)


def _resample(path: Path, *, fps: float, short_side: int | None, even: bool) -> list[Frame]:
    """Frames on the grid k / fps; only those that the grid needs are converted to RGB."""
    taken: list[Frame] = []
    with _opened(path) as (container, stream):
        clock, shown, convert = _Clock(stream, even=even), None, None
        for frame in _frames(path, container, stream):
            due = int(np.ceil(clock.tick(frame) * fps - TOLERANCE))
            convert = convert or _converter(frame, short_side)
            if shown is not None and due > len(taken):
                taken += [convert(shown)] * (due - len(taken))
            shown = frame
        assert shown is not None and convert is not None
        taken += [convert(shown)] * (frame_count(clock.end, fps) - len(taken))
    return taken


class _Clock:
    """Seconds at which each frame is shown after the first, in the order of decoding.

    By the time stamps, or with `even` by counting at the average rate. `count` frames were seen;
    the last of them is shown until `end`.
    """

    def __init__(self, stream: VideoStream, *, even: bool) -> None:
        self._even = even
        self._period = 1.0 / _rate(stream)
        self._start = 0.0
        self._last = 0.0
        self.count = 0
        self.end = 0.0

    def tick(self, frame: VideoFrame) -> float:
        """The time of the next decoded frame; _Backward where its stamp cannot be right."""
        if self._even:
            now, shown_for = self.count * self._period, self._period
        elif frame.pts is None:
            raise _Backward
        else:
            stamp = _seconds(frame.pts, frame.time_base)
            self._start = self._start if self.count else stamp
            now = stamp - self._start
            shown_for = _seconds(frame.duration, frame.time_base) or self._period
        if now < self._last:
            raise _Backward
        self.count += 1
        self._last, self.end = now, now + shown_for
        return now


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first real video stream; every fault becomes a DataError."""
    import av
    from av.stream import Disposition

    require_file(path)
    try:
        with av.open(str(path)) as container:
            # The cover picture of a music file is a "video" stream of one frame.
            pictures = Disposition.attached_pic
            streams = [s for s in container.streams.video if not s.disposition & pictures]
            if not streams:
                raise DataError(f"{path}: no video stream")
            # Files are decoded side by side; threads inside one file would only compete.
            streams[0].codec_context.thread_count = 1
            yield container, streams[0]
    except av.FFmpegError as error:
        fault = (error.strerror or type(error).__name__).lower()
        raise DataError(f"{path}: damaged or not a video ({fault})") from None


def _frames(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Every frame in the order of showing; DataError where some are damaged or missing."""
    import av

    packets = count = 0
    end = 0.0
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise DataError(f"{path}: damaged or cut off after frame {count}")
            packets += packet.size > 0
            if packet.pts is not None:
                ticks = packet.pts - (stream.start_time or 0) + (packet.duration or 0)
                end = max(end, _seconds(ticks, packet.time_base))
            for frame in packet.decode():
                count += 1
                yield frame
    except av.FFmpegError as error:
        fault = (error.strerror or type(error).__name__).lower()
        raise DataError(f"{path}: damaged after frame {count} ({fault})") from None
    if packets < stream.frames:
        raise DataError(f"{path}: cut off: {packets} of {stream.frames} frames are there")
    announced = _tagged_seconds(stream)
    if announced and end < announced - MISSING_SECONDS:
        raise DataError(f"{path}: cut off: {end:.2f} of {announced:.2f} seconds are there")
    if not count:
        raise DataError(f"{path}: no frame could be decoded")


def _converter(first: VideoFrame, short_side: int | None) -> Callable[[VideoFrame], Frame]:
    """A function from a decoded frame to upright RGB in the size that `first` gives."""
    from av.video.reformatter import Interpolation, VideoReformatter

    width, height = scaled_size(first.width, first.height, short_side)
    turns = _quarter_turns(first)
    # Averages over the area that shrinks into a pixel; the same bits on every processor.
    how = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    reformatter = VideoReformatter()

    def convert(frame: VideoFrame) -> Frame:
        rgb = reformatter.reformat(frame, width, height, "rgb24", interpolation=how, threads=1)
        return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), turns))

    return convert


def _quarter_turns(frame: VideoFrame) -> int:
    """Quarter turns counter-clockwise that bring the frame upright."""
    return round(frame.rotation / 90) % 4


def _info(stream: VideoStream, first: VideoFrame, frames: int, seconds: float) -> VideoInfo:
    width, height = first.width, first.height
    if _quarter_turns(first) % 2:
        width, height = height, width
    return VideoInfo(frames, _rate(stream), width, height, seconds, stream.codec_context.name)


def _rate(stream: VideoStream) -> float:
    """Frames per second: the average, or what the container suggests; 30 where it says neither."""
    return float(stream.average_rate or stream.guessed_rate or 30)


def _seconds(ticks: int | None, base: Fraction | None) -> float:
    """A time stamp or duration in seconds; 0 where there is none."""
    return float((ticks or 0) * (base or 0))


def _tagged_seconds(stream: VideoStream) -> float | None:
    """Seconds of this stream where the container tags them (Matroska: "00:00:10.333000000")."""
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except (KeyError, ValueError):
        return None
