"""Spans of untrimmed video that have a label, made of windows that slide over it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Span(NamedTuple):
    """Seconds from `start` to `end` with a label, and its mean probability there."""

    start: float
    end: float
    label: int
    score: float


@dataclass(frozen=True)
class Window:
    """Seconds of a video that a network saw at once, and what it found (one value per class)."""

    start: float
    end: float
    probabilities: NDArray[np.floating]


def spans_of(
    windows: Sequence[Window], *, threshold: float = 0.0, background: int | None = None
) -> tuple[Span, ...]:
    """The spans of windows in order of time: neighbours with one label are one span.

    Between two starts or ends of windows a moment has the mean probabilities of all windows over
    it. It has no label where the best one is below `threshold`, or is the `background`.
    """
    edges = sorted({edge for window in windows for edge in (window.start, window.end)})
    starts, ends = [w.start for w in windows], [w.end for w in windows]  # both ascend
    spans: list[Span] = []
    weight = 0.0
    for start, end in pairwise(edges):
        over = windows[bisect_left(ends, end) : bisect_right(starts, start)]
        if not over:
            continue
        mean = np.mean([window.probabilities for window in over], axis=0)
        label = int(mean.argmax())
        score = float(mean[label])
        if score < threshold or label == background:
            continue
        last = spans[-1] if spans else None
        if last is not None and last.label == label and last.end == start:
            joined = (last.score * weight + score * (end - start)) / (weight + end - start)
            spans[-1] = Span(last.start, end, label, joined)
            weight += end - start
        else:
            spans.append(Span(start, end, label, score))
            weight = end - start
    return tuple(spans)


def overlap(one: Span, other: Span) -> float:
    """The intersection over the union of two spans in time, 0 to 1."""
    shared = max(0.0, min(one.end, other.end) - max(one.start, other.start))
    both = (one.end - one.start) + (other.end - other.start) - shared
    return shared / both if both > 0 else 0.0


def srt(spans: Sequence[Span], names: Sequence[str]) -> str:
    """The spans as subtitles that players show."""
    blocks = [
        f"{number}\n{_clock(span.start)} --> {_clock(span.end)}\n"
        f"{names[span.label]} ({span.score:.0%})\n"
        for number, span in enumerate(spans, 1)
    ]
    return "\n".join(blocks)


def _clock(seconds: float) -> str:
    """Hours, minutes, seconds and milliseconds, as 01:02:03,456."""
    whole = round(seconds * 1000)
    hours, rest = divmod(whole, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d},{rest % 1000:03d}"
