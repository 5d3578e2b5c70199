"""Windows over frames that are told apart by their value."""

from __future__ import annotations

import numpy as np
import pytest

from expand3d.core.errors import ConfigError
from expand3d.data.sliding import Seen, Slider, Sliding
from tests.helpers.made_videos import greys
from tests.helpers.train_toys import make_plan


def seen(sliding: Sliding, frames: int) -> list[tuple[float, float, list[list[int]]]]:
    """The seconds of each window, and the values of the frames of its clips."""
    slider, found = Slider(sliding), list[Seen]()
    for frame in greys(range(frames)):
        found += slider.push(frame, 1)
    found += slider.finish()
    return [
        (
            window.start,
            window.end,
            [[int(frame.float().mean()) for frame in c] for c in window.views[0]],
        )
        for window in found
    ]


def test_a_window_is_a_clip_by_default_and_the_last_one_holds_its_last_frame() -> None:
    """2 frames 2 apart are a clip of 4; 9 frames end within the fourth window."""
    sliding = Sliding.of(make_plan(frames=2, stride=2), 10)
    assert seen(sliding, 9) == [
        (0.0, 0.4, [[0, 2]]),
        (0.2, 0.6, [[2, 4]]),
        (0.4, 0.8, [[4, 6]]),
        (0.6, 0.9, [[6, 8]]),
    ]
    assert seen(sliding, 2) == [(0.0, 0.2, [[0, 1]])]
    assert [window[:2] for window in seen(sliding, 8)] == [(0.0, 0.4), (0.2, 0.6), (0.4, 0.8)]


def test_a_long_window_has_several_clips_and_a_short_one_holds_frames() -> None:
    plan = make_plan(frames=2, stride=2)
    long = Sliding.of(plan, 10, window=1.0, stride=1.0)
    assert seen(long, 10) == [(0.0, 1.0, [[0, 2], [4, 6], [7, 9]])]
    short = Sliding.of(plan, 10, window=0.2, stride=0.1)
    assert seen(short, 3) == [(0.0, 0.2, [[0, 1]]), (0.1, pytest.approx(0.3), [[1, 2]])]


def test_little_is_held_however_long_the_video_is() -> None:
    slider = Slider(Sliding.of(make_plan(frames=2, stride=2), 10))
    for _ in range(50):
        list(slider.push(greys([7])[0], 3))
    assert slider.frames == 150 and len(slider._held) <= 4


@pytest.mark.parametrize(
    ("window", "stride", "said"),
    [
        (0.01, None, "--window is shorter than a frame"),
        (1.0, 0.01, "--stride is shorter than a frame"),
        (1.0, 2.0, "--stride 2s leaves out frames"),
    ],
)
def test_windows_that_cannot_be(window: float, stride: float | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Sliding.of(make_plan(), 10, window=window, stride=stride)


def test_the_square_in_the_middle_is_seen() -> None:
    frame = np.zeros((32, 96, 3), dtype=np.uint8)
    frame[:, 32:64] = 200
    slider = Slider(Sliding.of(make_plan(crop=32), 10))
    list(slider.push(frame, 1))
    assert slider._held[0].float().mean() == 200
