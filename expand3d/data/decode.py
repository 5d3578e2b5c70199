"""Video files to arrays of frames, by PyAV: upright, at one frame rate, no larger than needed.

The rules, in one place:

- A file is refused with a one-line reason where it is missing, empty, without video, or damaged.
  Damaged is: the decoder fails or marks a frame as such, the demuxer marks a packet, or the
  container itself proves that data is missing (`containers.missing`, or its index of frames).
  Counts and durations in headers prove nothing. Only reading to the end finds these.
- Decoders deliver frames in the order in which they are shown. Their time stamps are used where
  they can be right (`stamps`) and never run backward; where they do (AVI has no presentation times,
  and what is guessed for it is wrong under B-frames), frames are taken to be evenly spaced at the
  stated rate.
- Frame k of the result is what the screen shows at k / fps seconds after the first frame.
- Rotation metadata is honoured; pixel aspect is not (as in other loaders, pixels count as square).
- Nothing is padded here: a short video gives few frames, at least one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import DataError
from expand3d.data import pictures
from expand3d.data.containers import missing
from expand3d.data.places import opened_place, require_file
from expand3d.data.scale import scaler
from expand3d.data.stamps import Stamps, read_stamps, seconds_of, sound_packets, stated_rate
from expand3d.data.video_info import TOLERANCE, Frame, VideoInfo, frame_count, scaled_size

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

#: Bytes per frame below which a header's length is not believed but counted; that is quick.
FEW_BYTES = 8


def probe(path: Path) -> VideoInfo:
    """Size, rate and length of a video as its container announces them; decodes one frame.

    Where the container announces no length, or one that cannot be, its packets are counted.
    Raises DataError where the file cannot be opened or its first frame cannot be decoded; damage
    further in is found by `verify` or `decode` alone.
    """
    if pictures.is_folder(path):
        return pictures.probe(path)
    with opened_video(path) as (container, stream):
        first = next(container.decode(stream), None)
        if first is None:
            raise DataError(f"{path}: no frame could be decoded")
        frames, seconds = _announced(container, stream, first)
        info = _info(stream, first, frames, seconds)
        if _credible(path, frames, seconds, first):
            return info
    # The container is closed: nothing of its stream may be asked any more.
    return _by(_stamps(path), info)


def _announced(
    container: InputContainer, stream: VideoStream, first: VideoFrame
) -> tuple[int, float]:
    """Frames and seconds as the headers give them, 0 where they do not."""
    rate = stated_rate(stream)
    seconds = seconds_of(stream.duration, stream.time_base)
    if not seconds and (end := _tagged_end(stream)):
        # Matroska tags the time at which the stream ends; it may begin late.
        seconds = end - seconds_of(first.pts, first.time_base)
    seconds = seconds or (container.duration or 0) / 1_000_000
    frames = stream.frames or round(seconds * rate)
    if container.format.name == "avi" and len(stream.index_entries) > 1:
        frames = min(frames, sum(entry.size > 0 for entry in stream.index_entries))
    if container.format.name == "avi" and not seconds:
        seconds = frames / rate
    return frames, seconds


def _credible(path: Path, frames: int, seconds: float, first: VideoFrame) -> bool:
    """True where a header's length can be right: frames that follow each other, of some bytes."""
    small = require_file(path).size < FEW_BYTES * frames
    return frames > 2 and frames > seconds > 0 and first.pts is not None and not small


def verify(path: Path) -> VideoInfo:
    """The video's facts, counted by decoding all of it; DataError names the file and its fault."""
    if pictures.is_folder(path):
        return pictures.verify(path)
    return each_frame(path, lambda: None, lambda frame, seconds: None)


def each_frame(
    path: Path, begin: Callable[[], None], look: Callable[[VideoFrame, float], None]
) -> VideoInfo:
    """As `verify` of a file, which shows every frame with the seconds at which it begins.

    `begin` is called first, and once more where what was shown until then counts for nothing.
    """
    stamps = _stamps(path)
    begin()
    try:
        return _count(path, stamps, look, even=False)
    except _Backward:
        begin()
        return _count(path, stamps, look, even=True)


def decode(path: Path, *, fps: float, short_side: int | None, every: int = 1) -> NDArray[np.uint8]:
    """All of a video as uint8 T x H x W x 3 (RGB), upright, at `fps` frames per second.

    The short side is brought down to `short_side` pixels (None: left as it is), never up. Of the
    frames the first and `every` so many-th after it are kept.
    Raises DataError naming the file and its fault.
    """
    found = decode_frames(path, fps=fps, short_side=short_side, every=every)
    frames: list[Frame | None] = list(found)
    assert frames[0] is not None
    clip = np.empty((len(frames), *frames[0].shape), dtype=np.uint8)
    for number, frame in enumerate(frames):
        clip[number] = frame
        # Nothing stays in memory twice.
        frames[number] = None
    return clip


def decode_frames(path: Path, *, fps: float, short_side: int | None, every: int = 1) -> list[Frame]:
    """As `decode`, frame by frame; a frame that is shown longer is one array listed repeatedly."""
    taken: list[Frame] = []

    def take(frame: Frame, times: int) -> None:
        taken.extend([frame] * times)

    decode_to(path, taken.clear, take, fps=fps, short_side=short_side, every=every)
    return taken


def decode_to(
    path: Path,
    begin: Callable[[], None],
    take: Callable[[Frame, int], None],
    *,
    fps: float,
    short_side: int | None,
    every: int = 1,
) -> None:
    """Give the frames of `decode` to `take` one by one, each with how often it is shown.

    One frame is held at a time. `begin` is called first, and once more where the time stamps turn
    out to run backward: what was given until then counts for nothing. Raises DataError.
    """
    if pictures.is_folder(path):
        begin()
        return pictures.give(path, take, fps=fps, short_side=short_side, every=every)
    stamps = _stamps(path)
    for even in (False, True):
        begin()
        try:
            return _resample(
                path, stamps, take, fps=fps, short_side=short_side, every=every, even=even
            )
        except _Backward:
            continue


class _Backward(Exception):
    """Time stamps are missing or run backward: they cannot be trusted."""


def _stamps(path: Path) -> Stamps:
    """The times of the file's frames; DataError where its container proves that some lack."""
    require_file(path)
    if fault := missing(path):
        raise DataError(f"{path}: {fault}")
    with opened_video(path) as (container, stream):
        return read_stamps(path, container, stream)


def _count(
    path: Path, stamps: Stamps, look: Callable[[VideoFrame, float], None], *, even: bool
) -> VideoInfo:
    """Decode everything, convert nothing."""
    with opened_video(path) as (container, stream):
        clock, first = _Clock(stream, stamps, even=even), None
        for frame in frames_from_here(path, container, stream):
            look(frame, clock.tick(frame))
            first = first or frame
        assert first is not None
        info = _info(stream, first, clock.count, clock.finish())
    return replace(_by(stamps, info), frames=info.frames, duration_s=info.duration_s)


def _resample(
    path: Path,
    stamps: Stamps,
    take: Callable[[Frame, int], None],
    *,
    fps: float,
    short_side: int | None,
    every: int,
    even: bool,
) -> None:
    """Frames on the grid k / fps, k a multiple of `every`; no others are converted to RGB."""
    taken = 0
    with opened_video(path) as (container, stream):
        clock, shown, convert = _Clock(stream, stamps, even=even), None, None
        for frame in frames_from_here(path, container, stream):
            due = -(-int(np.ceil(clock.tick(frame) * fps - TOLERANCE)) // every)
            convert = convert or converter(
                frame.width, frame.height, quarter_turns(frame), short_side
            )
            if shown is not None and due > taken:
                take(convert(shown), due - taken)
                taken = due
            shown = frame
        assert shown is not None and convert is not None
        if (due := -(-frame_count(clock.finish(), fps) // every)) > taken:
            take(convert(shown), due - taken)


class _Clock:
    """Seconds at which each frame is shown after the first, in the order of decoding.

    By the time stamps, or evenly where they do not hold or with `even`. `count` frames were seen.
    """

    def __init__(self, stream: VideoStream, stamps: Stamps, *, even: bool) -> None:
        self._period = stamps.even or 1.0 / stated_rate(stream)
        self._even = even or stamps.even is not None
        self._times = stamps.times
        self._length = stamps.seconds
        self._start = 0.0
        self._last = 0.0
        self._end = 0.0
        self.count = 0

    def tick(self, frame: VideoFrame) -> float:
        """The time of the next decoded frame; _Backward where its stamp cannot be right."""
        shown_for = self._period
        if self._times:
            now = self._times[min(self.count, len(self._times) - 1)]
        elif self._even:
            now = self.count * self._period
        elif frame.pts is None:
            raise _Backward
        else:
            stamp = seconds_of(frame.pts, frame.time_base)
            self._start = self._start if self.count else stamp
            now = stamp - self._start
            shown_for = seconds_of(frame.duration, frame.time_base) or self._period
        if now < self._last:
            raise _Backward
        self.count += 1
        self._last, self._end = now, now + shown_for
        return now

    def finish(self) -> float:
        """The time until which the last frame is shown."""
        return max(self._end, self._length) if self._times else self._end


@contextmanager
def opened_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first real video stream; every fault becomes a DataError."""
    import av
    from av.stream import Disposition

    require_file(path)
    try:
        with opened_place(path) as source, av.open(source, "r") as container:
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
        raise DataError(f"{path}: {missing(path) or f'damaged or not a video ({fault})'}") from None


def frames_from_here(
    path: Path, container: InputContainer, stream: VideoStream
) -> Iterator[VideoFrame]:
    """The frames that follow in the order of showing; DataError where some are damaged."""
    import av

    count, begun = 0, False
    try:
        for packet in sound_packets(path, container, stream):
            if not packet.size and packet.dts is not None:
                continue  # the picture before it is shown on (Theora)
            for frame in packet.decode():
                # What a cut leaves before the first whole picture may lack what it refers to.
                begun = begun or frame.key_frame
                if begun and frame.is_corrupt:
                    raise DataError(f"{path}: damaged after frame {count} (a picture is not whole)")
                count += 1
                yield frame
    except av.FFmpegError as error:
        fault = (error.strerror or type(error).__name__).lower()
        raise DataError(f"{path}: damaged after frame {count} ({fault})") from None
    if not count:
        raise DataError(f"{path}: no frame could be decoded")


def converter(
    width: int, height: int, turns: int, short_side: int | None
) -> Callable[[VideoFrame], Frame]:
    """A function from a decoded frame to upright RGB, in the size that the first frame gives."""
    size, scale = scaled_size(width, height, short_side), scaler()

    def convert(frame: VideoFrame) -> Frame:
        return np.ascontiguousarray(np.rot90(scale(frame, *size), turns))

    return convert


def quarter_turns(frame: VideoFrame) -> int:
    """Quarter turns counter-clockwise that bring the frame upright."""
    return round(frame.rotation / 90) % 4


def _info(stream: VideoStream, first: VideoFrame, frames: int, seconds: float) -> VideoInfo:
    width, height = first.width, first.height
    if quarter_turns(first) % 2:
        width, height = height, width
    codec = stream.codec_context.name
    return VideoInfo(frames, stated_rate(stream), width, height, seconds, codec)


def _by(stamps: Stamps, info: VideoInfo) -> VideoInfo:
    """The facts as `stamps` have them."""
    fps = 1.0 / stamps.even if stamps.even else info.fps
    return replace(
        info, frames=stamps.frames, duration_s=stamps.seconds, fps=fps, remark=stamps.remark
    )


def _tagged_end(stream: VideoStream) -> float | None:
    """Seconds at which this stream ends, where tagged (Matroska: "00:00:10.333000000")."""
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except (KeyError, ValueError):
        return None
