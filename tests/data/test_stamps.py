"""Lengths that no header tells, and time stamps that cannot be."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from expand3d.core.errors import DataError
from expand3d.data.decode import decode, probe, verify
from tests.helpers.made_videos import greys, values, write_packets, write_video

LEVELS = [50, 90, 130, 170, 210]
MS = Fraction(1, 1000)


def close(found: list[int], wanted: list[int]) -> bool:
    return len(found) == len(wanted) and bool(np.all(np.abs(np.subtract(found, wanted)) <= 5))


@pytest.mark.parametrize(
    ("name", "codec", "ticks", "muxer"),
    [
        # As browsers and pipes write it: no length, no index.
        ("live.mkv", "mpeg4", [0, 100, 200, 300, 400], {"live": "1"}),
        ("live.webm", "libvpx", [0, 100, 200, 300, 400], {"live": "1"}),
        # Time begins before zero: the header tells the end alone.
        ("negative.mkv", "mpeg4", [-300, -200, -100, 0, 100], {"avoid_negative_ts": "disabled"}),
    ],
)
def test_where_the_header_is_silent_frames_are_counted(
    tmp_path: Path, name: str, codec: str, ticks: list[int], muxer: dict[str, str]
) -> None:
    path = write_packets(tmp_path / name, greys(LEVELS), ticks, base=MS, codec=codec, muxer=muxer)
    for info in (probe(path), verify(path)):
        assert (info.frames, info.fps) == (5, 10) and info.duration_s == pytest.approx(0.5)
        assert info.remark == ""
    assert close(values(decode(path, fps=10, short_side=None)), LEVELS)


@pytest.mark.parametrize(("name", "codec"), [("a.h264", "libx264"), ("a.m2v", "mpeg2video")])
def test_raw_streams_are_counted(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, greys(range(40, 90)), codec=codec, rate=25)
    assert probe(path).frames == verify(path).frames == 50
    assert probe(path).duration_s == verify(path).duration_s == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_clock_that_jumps_is_named_and_not_followed(tmp_path: Path, name: str) -> None:
    ticks = [0, 100, 200, 7_200_300, 7_200_400]
    path = write_packets(tmp_path / name, greys(LEVELS), ticks, base=MS)
    for info in (probe(path), verify(path)):
        assert info.remark.startswith("time stamps jump by 7,200 s after frame 3; ")
        assert info.frames == 5 and info.duration_s == pytest.approx(0.5)
        assert info.frames_at(10) == 5
    assert close(values(decode(path, fps=10, short_side=None)), LEVELS)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_short_jump_counts_by_the_length_of_the_rest(tmp_path: Path, name: str) -> None:
    # 100 s beside 0.5 s; where the container states no rate, its average is 20 s a frame.
    path = write_packets(tmp_path / name, greys(LEVELS), [0, 1, 2, 1003, 1004])
    assert verify(path).remark.startswith("time stamps jump by 100 s after frame 3; ")
    assert verify(path).duration_s == pytest.approx(0.5)


def test_empty_chunks_for_an_hour_are_a_jump(tmp_path: Path) -> None:
    path = write_packets(tmp_path / "a.avi", greys(LEVELS), [0, 1, 2, 36_000, 36_001])
    for info in (probe(path), verify(path)):
        assert info.remark.startswith("time stamps jump by 3,600 s after frame 3; ")
        assert info.frames == 5 and info.duration_s == pytest.approx(0.5)
    assert close(values(decode(path, fps=10, short_side=None)), LEVELS)


@pytest.mark.parametrize("ticks", [[0] * 5, [0, 1, 2, 3, 4], [0, 0, 0, 1, 1]])
def test_stamps_that_do_not_advance_are_named_and_not_followed(
    tmp_path: Path, ticks: list[int]
) -> None:
    path = write_packets(tmp_path / "a.mkv", greys(LEVELS), ticks, base=MS)
    for info in (probe(path), verify(path)):
        assert info.remark == (
            "time stamps do not advance; its frames are taken as evenly spaced, 10 per second"
        )
        assert info.frames == 5 and info.duration_s == pytest.approx(0.5)
    assert close(values(decode(path, fps=10, short_side=None)), LEVELS)


def test_without_a_rate_nothing_is_made_up(tmp_path: Path) -> None:
    # Every frame a ten-thousandth of a second, and a pause of an hour: no rate can be told.
    ticks = [0, 1, 2, 3, 36_000_000]
    path = write_packets(
        tmp_path / "a.mp4", greys(LEVELS), ticks, base=Fraction(1, 10_000), rate=10_000
    )
    with pytest.raises(DataError, match=r"time stamps jump by .*, and no frame rate is stated"):
        verify(path)


def test_a_still_picture_of_a_minute_is_a_still_picture(tmp_path: Path) -> None:
    ticks = [0, 1000, 55_000, 56_000, 57_000]
    path = write_packets(tmp_path / "a.mkv", greys(LEVELS), ticks, base=MS)
    assert verify(path).remark == "" and len(decode(path, fps=1, short_side=None)) in (57, 58)
