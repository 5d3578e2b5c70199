"""Spans of windows whose every moment is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from expand3d.core.spans import Span, Window, overlap, spans_of, srt


def window(start: float, end: float, *shares: float) -> Window:
    return Window(start, end, np.array(shares))


def test_a_moment_has_the_mean_of_the_windows_over_it() -> None:
    """0 to 1 s: class 0 by 0.9. 1 to 2: the mean 0.55 and 0.45. 2 to 3: class 1 by 0.8."""
    windows = [window(0, 2, 0.9, 0.1), window(1, 3, 0.2, 0.8)]
    first, second = spans_of(windows)
    assert first == Span(0, 2, 0, pytest.approx((0.9 + 0.55) / 2))
    assert second == Span(2, 3, 1, pytest.approx(0.8))


def test_neighbours_of_one_label_are_one_span_and_gaps_part_them() -> None:
    windows = [window(n, n + 1, *((0.7, 0.3) if n != 2 else (0.55, 0.45))) for n in range(5)]
    assert [(s.start, s.end) for s in spans_of(windows)] == [(0, 5)]
    assert [(s.start, s.end) for s in spans_of(windows, threshold=0.6)] == [(0, 2), (3, 5)]


def test_background_is_no_label() -> None:
    windows = [window(0, 1, 0.9, 0.1), window(1, 2, 0.2, 0.8), window(2, 3, 0.9, 0.1)]
    assert [s.label for s in spans_of(windows, background=0)] == [1]
    assert spans_of([]) == () and len(spans_of(windows)) == 3


def test_the_overlap_is_intersection_over_union() -> None:
    assert overlap(Span(0, 4, 0, 1), Span(1, 6, 0, 1)) == pytest.approx(3 / 6)
    assert overlap(Span(0, 1, 0, 1), Span(2, 3, 0, 1)) == 0


def test_subtitles_are_as_players_read_them() -> None:
    text = srt([Span(0, 1.5, 1, 0.934), Span(3661.25, 3662, 0, 0.5)], ("kick", "hand shake"))
    assert text == (
        "1\n00:00:00,000 --> 00:00:01,500\nhand shake (93%)\n\n"
        "2\n01:01:01,250 --> 01:01:02,000\nkick (50%)\n"
    )
