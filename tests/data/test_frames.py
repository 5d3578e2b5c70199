"""Frames and orders, with the expected values worked out by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from expand3d.data import frames as sampling


def test_last_start_counts_the_span_of_the_frames() -> None:
    # 4 frames, 3 apart, cover frames 0 3 6 9: 10 frames, which start at 0..2 within 12.
    assert sampling.last_start(12, 4, 3) == 2
    assert sampling.last_start(10, 4, 3) == 0
    assert sampling.last_start(9, 4, 3) == 0
    assert sampling.last_start(5, 1, 1) == 4


def test_training_starts_reach_every_legal_start_equally() -> None:
    starts = Counter(sampling.train_start(12, 4, 3, i / 300) for i in range(300))
    assert starts == {0: 100, 1: 100, 2: 100}
    assert sampling.train_start(12, 4, 3, 1 - 2**-53) == 2


@pytest.mark.parametrize(
    ("length", "frames", "stride", "views", "expected"),
    [
        (12, 4, 3, 1, [1]),  # starts 0 1 2: the centre
        (9, 1, 1, 1, [4]),  # the middle one of nine frames
        (10, 1, 1, 2, [2, 7]),  # the middles of 0..4 and 5..9
        (30, 1, 1, 10, [1, 4, 7, 10, 13, 16, 19, 22, 25, 28]),
        (13, 4, 3, 3, [0, 2, 3]),  # four starts in three parts
        (5, 4, 3, 3, [0, 0, 0]),  # too short: every view starts at the first frame
    ],
)
def test_test_views_are_the_middles_of_equal_parts(
    length: int, frames: int, stride: int, views: int, expected: list[int]
) -> None:
    assert sampling.test_starts(length, frames, stride, views) == expected


def test_short_videos_hold_their_last_frame() -> None:
    assert sampling.frame_indices(5, 0, 4, 3).tolist() == [0, 3, 4, 4]
    assert sampling.frame_indices(1, 0, 3, 2).tolist() == [0, 0, 0]
    assert sampling.frame_indices(12, 2, 4, 3).tolist() == [2, 5, 8, 11]


def test_every_epoch_sees_every_clip_once_in_another_order() -> None:
    first, second = (
        sampling.visits(3, 50, start=0, count=50),
        sampling.visits(3, 50, start=50, count=50),
    )
    assert {visit.epoch for visit in first} == {0} and {visit.epoch for visit in second} == {1}
    orders = [[visit.position for visit in epoch] for epoch in (first, second)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(50))
    assert orders[0] != orders[1] and orders[0] != list(range(50))
    assert sampling.visits(4, 50, start=0, count=50) != first


def test_visits_do_not_depend_on_how_they_are_asked_for() -> None:
    whole = sampling.visits(0, 5, start=0, count=16)
    assert [sampling.visits(0, 5, start=i, count=1)[0] for i in range(16)] == whole
    # fewer clips than a batch: it wraps around into the next epochs
    assert [visit.epoch for visit in whole] == [0] * 5 + [1] * 5 + [2] * 5 + [3]


def test_generators_belong_to_their_key() -> None:
    a = sampling.generator("view", 0, 1, "a.avi").random(3).tolist()
    assert sampling.generator("view", 0, 1, "a.avi").random(3).tolist() == a
    others = [("view", 0, 1, "b.avi"), ("view", 0, 2, "a.avi"), ("view", 1, 1, "a.avi")]
    assert all(sampling.generator(*key).random(3).tolist() != a for key in others)
