"""Windows that slide over a video of any length, frame by frame, in little memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Plan
from expand3d.data.protocols import get_rule, resize
from expand3d.data.video_info import Frame

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sliding:
    """The windows of a network's clips: their length, and how far the next one starts, in frames.

    Times are at `fps`, the network's frame rate, and a clip is made of `clip` frames. A window that
    is longer than a clip holds several of them; of a shorter one the last frame is held.
    """

    plan: Plan
    fps: float
    length: int
    step: int
    clip: int

    @classmethod
    def of(
        cls,
        plan: Plan,
        fps: float,
        *,
        window: float | None = None,
        stride: float | None = None,
        clip: int | None = None,
    ) -> Sliding:
        """Windows of so many seconds; the clip's by default, and the next one after half of it.

        ConfigError where they are shorter than a frame, or leave frames out between them.
        """
        clip = clip or plan.duration
        length = clip if window is None else round(window * fps)
        step = max(1, length // 2) if stride is None else round(stride * fps)
        for name, value in (("window", length), ("stride", step)):
            if value < 1:
                raise ConfigError(f"--{name} is shorter than a frame at {fps:g} frames a second")
        if step > length:
            raise ConfigError(f"--stride {step / fps:g}s leaves out frames of {length / fps:g}s")
        return cls(plan, fps, length, step, clip)

    @property
    def count(self) -> int:
        """Clips of a window."""
        return max(1, -(-self.length // max(1, self.clip)))

    @property
    def clips(self) -> list[list[int]]:
        """The frames of each clip of a window, from its first one: evenly placed over it."""
        (each,) = self.plan.inputs
        span = (each.frames - 1) * each.stride + 1
        room = max(0, self.length - span)
        count = self.count
        starts = (
            [room // 2] if count == 1 else [round(i * room / (count - 1)) for i in range(count)]
        )
        return [
            [min(start + each.stride * n, self.length - 1) for n in range(each.frames)]
            for start in starts
        ]


@dataclass(frozen=True)
class Seen:
    """A window: seconds from `start` to `end`, and the views of its clips.

    There is a tensor for each of the network's inputs, uint8 N x T x crop x crop x C.
    """

    start: float
    end: float
    views: tuple[Tensor, ...]


class Look(Protocol):
    """The part of a frame that is held, and the views that are made of a window's."""

    def take(self, frame: Frame, times: int) -> Sequence[Any]:
        """The things that are held of a frame, one for each time that it is shown."""

    def views(self, held: Sequence[Any]) -> tuple[Tensor, ...]:
        """The views of a window's clips, of what was held of its frames: at the end fewer."""


class OneClip:
    """The square in the middle of each frame, for networks that read one clip of frames."""

    def __init__(self, sliding: Sliding) -> None:
        self._clips = sliding.clips
        self._crop, self._rule = sliding.plan.crop, get_rule("pyslowfast")

    def take(self, frame: Frame, times: int) -> Sequence[Tensor]:
        height, width = self._rule.resized(*_size(frame), self._crop)
        ((top, left),) = self._rule.places(height, width, self._crop, 1)
        small = resize(frame, self._rule, self._crop)
        return [small[top : top + self._crop, left : left + self._crop].contiguous()] * times

    def views(self, held: Sequence[Tensor]) -> tuple[Tensor, ...]:
        import torch

        last = len(held) - 1
        clips = [torch.stack([held[min(number, last)] for number in clip]) for clip in self._clips]
        return (torch.stack(clips),)


class Slider:
    """The windows of a stream of frames at the network's rate, as soon as each is whole."""

    def __init__(self, sliding: Sliding, look: Look | None = None) -> None:
        self._sliding = sliding
        self._look: Look = OneClip(sliding) if look is None else look
        self.begin()

    def begin(self) -> None:
        """Forget all frames."""
        self.frames = 0
        self._first = 0  # the number of the oldest frame that is held
        self._held: deque[Any] = deque()
        self._next = 0  # the start of the next window
        self._covered = 0

    @property
    def seconds(self) -> float:
        """Length of what was seen."""
        return self.frames / self._sliding.fps

    def push(self, frame: Frame, times: int) -> Iterator[Seen]:
        """The windows that a frame, shown so many times, makes whole."""
        for held in self._look.take(frame, times):
            self._held.append(held)
            self.frames += 1
            if self.frames == self._next + self._sliding.length:
                yield self._window(self.frames)

    def finish(self) -> Iterator[Seen]:
        """The last window, where frames at the end are in none: its last frame is held."""
        if self.frames > self._covered:
            yield self._window(self.frames)

    def _window(self, end: int) -> Seen:
        start, held = self._next, list(self._held)
        last = min(start + self._sliding.length, end)
        views = self._look.views(held[start - self._first : last - self._first])
        self._next += self._sliding.step
        self._covered = end
        while self._held and self._first < self._next and len(self._held) > 1:
            self._held.popleft()
            self._first += 1
        fps = self._sliding.fps
        return Seen(start / fps, end / fps, views)


def _size(frame: Frame) -> tuple[int, int]:
    return frame.shape[0], frame.shape[1]
