"""The times at which a video's frames are shown: as stamped where that can be, else evenly spaced.

A file's packets are read without decoding them. That counts what a header does not tell, notices
packets that are marked as broken or lack, and judges the time stamps:

- Stamps that do not advance (half of the frames at the time of another, or four times as many
  frames in the time as the stated rate gives) count for nothing: frames are evenly spaced at the
  stated rate.
- So are those of a file in which one picture would stand for more than MOST_STILL seconds, or for
  more than LONG_STILL and ten times as long as all else: a clock that jumped.
- AVI has no stamps but the places of its chunks. Empty chunks show the picture before them on, so
  that frames are shown when the filled ones are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING

import numpy as np

from expand3d.core.errors import DataError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

#: Seconds for which a picture may be shown; and for which it may be, beside a far shorter rest.
MOST_STILL, LONG_STILL = 600.0, 60.0
#: Times the stated rate at which frames would come when their stamps do not advance.
TOO_DENSE = 4.0
#: Frames per second above which a stated rate is none, but the tick of a clock.
MOST_FPS = 1000.0


@dataclass(frozen=True)
class Stamps:
    """The times of frames, in the order of showing.

    `even` is None where the stamps hold; else the seconds between frames that are evenly spaced.
    `times` are seconds from the first frame where the container's order gives them (AVI). `frames`
    counts filled packets, `seconds` ends with the last. `remark` says what is odd, for people.
    """

    frames: int
    seconds: float
    even: float | None = None
    times: tuple[float, ...] = field(default=(), repr=False)
    remark: str = ""


def read_stamps(path: Path, container: InputContainer, stream: VideoStream) -> Stamps:
    """The stamps of a stream, by reading its packets; DataError where the container lacks some."""
    ticks: list[int | None] = []
    order: list[int | None] = []
    filled = 0
    for packet in sound_packets(path, container, stream):
        filled += packet.size > 0
        if packet.size and not packet.is_discard:
            ticks.append(packet.pts)
            order.append(packet.dts)
    if not ticks:
        raise DataError(f"{path}: no frame could be decoded")
    listed = sum(entry.size > 0 for entry in stream.index_entries)
    if filled < listed:
        raise DataError(f"{path}: cut off: {filled} of {listed} frames are there")
    base = float(stream.time_base or Fraction(1))
    if container.format.name == "avi" and len(ticks) < stream.frames and None not in order:
        return _chunks(path, stream, np.asarray(order, dtype=float) * base)
    known = [tick for tick in ticks if tick is not None]
    coded = [tick for tick in order if tick is not None]
    if len(known) < len(ticks) or any(b < a for a, b in pairwise(coded)):
        # Files joined by writing one behind the other begin their time anew. The decoder may still
        # make good stamps of what packets lack; whoever decodes will see.
        return Stamps(len(ticks), len(ticks) / stated_rate(stream))
    return _judged(path, stream, np.sort(np.asarray(known)) * base)


def _chunks(path: Path, stream: VideoStream, times: np.ndarray) -> Stamps:
    """AVI: the filled chunks' places in time; the header says how long the last is shown."""
    times = times - times[0]
    if jumped := _jumped(path, stream, times):
        return jumped
    end = float(times[-1]) + 1.0 / stated_rate(stream)
    announced = seconds_of(stream.duration, stream.time_base)
    # A recording that broke off may announce what it never wrote.
    seconds = announced if end < announced < end + LONG_STILL else end
    return Stamps(len(times), seconds, times=tuple(map(float, times)))


def _judged(path: Path, stream: VideoStream, times: np.ndarray) -> Stamps:
    """The stamps in ascending order, as they are or not believed."""
    count, period = len(times), 1.0 / stated_rate(stream)
    seconds = float(times[-1] - times[0]) + period
    gaps = np.diff(times)
    if count > 2:
        still = int(np.count_nonzero(gaps <= 0))
        if 2 * still > len(gaps) or seconds * TOO_DENSE < count * period:
            return _evenly(path, stream, count, remark="time stamps do not advance")
    return _jumped(path, stream, times) or Stamps(count, seconds)


def _jumped(path: Path, stream: VideoStream, times: np.ndarray) -> Stamps | None:
    """Even spacing where one picture would stand too long; None where none does."""
    count, period = len(times), 1.0 / stated_rate(stream)
    gaps = np.diff(times)
    longest = float(gaps.max(initial=0.0))
    usual = median_low([float(gap) for gap in gaps if gap > 0] or [period])
    rest = float(times[-1] - times[0]) + usual - longest
    if longest <= MOST_STILL and (longest <= LONG_STILL or longest <= 10 * rest):
        return None
    remark = f"time stamps jump by {longest:,.0f} s after frame {int(gaps.argmax()) + 1}"
    if not 0.5 < usual / period < 2.0:
        # Some containers state no rate; it is computed from the stamps, the jump included.
        period = usual
    return _evenly(path, stream, count, remark=remark, period=period)


def _evenly(
    path: Path, stream: VideoStream, count: int, *, remark: str, period: float | None = None
) -> Stamps:
    """`count` frames at the stated rate, or `period` seconds apart; DataError without a rate."""
    rate = 1.0 / period if period else stated_rate(stream)
    if rate > MOST_FPS or rate * MOST_STILL < 1:
        raise DataError(f"{path}: {remark}, and no frame rate is stated")
    remark = f"{remark}; its frames are taken as evenly spaced, {rate:g} per second"
    return Stamps(count, count / rate, even=1.0 / rate, remark=remark)


def sound_packets(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The packets of a stream, with the empty last one; DataError where one is marked as broken.

    Transport streams that were joined by writing one behind the other have such a mark at the
    seam, though nothing lacks. There the time begins anew, or goes on without a gap at a key frame.
    """
    count, doubted = 0, 0
    before: Packet | None = None
    for packet in container.demux(stream):
        if doubted and before is not None:
            # The mark stands on the last packet before the seam, or on the one before that.
            doubted = 0 if _seam(before, packet, stream) else doubted + 1
        if doubted > 2 or (packet.is_corrupt and container.format.name != "mpegts"):
            raise DataError(f"{path}: damaged or cut off after frame {count - doubted}")
        doubted = 1 if packet.is_corrupt else doubted
        count += packet.size > 0
        before = packet
        yield packet
    if doubted:
        raise DataError(f"{path}: damaged or cut off after frame {count - doubted}")


def _seam(before: Packet, after: Packet, stream: VideoStream) -> bool:
    """True where a file was joined between two packets."""
    if before.pts is None or after.pts is None or not after.is_keyframe:
        return False
    gap = seconds_of((after.dts or 0) - (before.dts or 0), after.time_base)
    return after.pts < before.pts or gap < 1.5 / stated_rate(stream)


def stated_rate(stream: VideoStream) -> float:
    """Frames per second: the average, or what the container suggests; 30 where it says neither."""
    return float(stream.average_rate or stream.guessed_rate or 30)


def seconds_of(ticks: int | None, base: Fraction | None) -> float:
    """A time stamp or duration in seconds; 0 where there is none."""
    return float((ticks or 0) * (base or 0))
