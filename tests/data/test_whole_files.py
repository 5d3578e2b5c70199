"""Files are whole or damaged by decoder, demuxer and structure, never by headers."""

from __future__ import annotations

import functools
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from expand3d.core.errors import DataError
from expand3d.data.containers import missing
from expand3d.data.decode import decode, probe, verify
from tests.helpers.made_videos import greys, values, write_packets, write_video

LEVELS = [50, 90, 130, 170, 210]
MS = Fraction(1, 1000)


def close(found: list[int], wanted: list[int]) -> bool:
    return len(found) == len(wanted) and bool(np.all(np.abs(np.subtract(found, wanted)) <= 5))


def test_empty_chunks_of_avi_are_no_missing_frames(tmp_path: Path) -> None:
    # The pictures stand at 0, 1, 2, 5 and 6 tenths; the muxer fills 3 and 4 with empty chunks.
    path = write_packets(tmp_path / "a.avi", greys(LEVELS), [0, 1, 2, 5, 6])
    for info in (probe(path), verify(path)):
        assert info.frames == 5 and info.duration_s == pytest.approx(0.7)
    assert close(values(decode(path, fps=10, short_side=None)), [50, 90, 130, 130, 130, 170, 210])


def test_avi_with_sound_is_whole(tmp_path: Path) -> None:
    # As converters write it: the muxer puts one empty chunk behind the first picture.
    path = write_packets(
        tmp_path / "a.avi", greys(LEVELS), [0, 1, 2, 3, 4], sound_seconds=0.5, rate=10
    )
    assert verify(path).frames == 5


def test_an_empty_packet_shows_the_picture_before_it_on(tmp_path: Path) -> None:
    # As Theora writes pictures that do not change; this container holds such packets of any codec.
    source = write_packets(tmp_path / "a.mkv", greys(LEVELS), [0, 1, 2, 4, 5])
    path = tmp_path / "a.nut"
    with av.open(str(source)) as read, av.open(str(path), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        packets = [packet for packet in read.demux(video=0) if packet.size]
        empty = av.Packet(0)
        empty.pts, empty.dts, empty.time_base = 300, 300, MS
        for packet in [*packets[:3], empty, *packets[3:]]:
            packet.stream = stream
            written.mux_one(packet)
    with av.open(str(path)) as container:
        assert [packet.size > 0 for packet in container.demux(video=0)].count(False) == 2
    assert verify(path).frames == 5
    assert close(values(decode(path, fps=10, short_side=None)), [50, 90, 130, 130, 170, 210])


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "mpeg4"), ("a.webm", "libvpx")])
def test_a_picture_that_begins_after_the_sound_is_whole(
    tmp_path: Path, name: str, codec: str
) -> None:
    ticks = [1300, 1400, 1500, 1600, 1700]
    sound = 1.8 if name == "a.mkv" else 0.0
    path = write_packets(
        tmp_path / name, greys(LEVELS), ticks, base=MS, codec=codec, sound_seconds=sound
    )
    for info in (probe(path), verify(path)):
        assert info.frames == 5 and info.duration_s == pytest.approx(0.5)
    assert close(values(decode(path, fps=10, short_side=None)), LEVELS)


def test_transport_streams_may_be_joined_by_writing_one_behind_the_other(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", greys(LEVELS), codec="mpeg2video", bf="0", qscale="2")
    path.write_bytes(path.read_bytes() * 2)
    assert verify(path).frames == 10
    assert close(values(decode(path, fps=30, short_side=None)), LEVELS * 2)


def moving(count: int = 60) -> list[np.ndarray]:
    picture = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    return [np.roll(picture, 3 * k, axis=1) for k in range(count)]


KINDS = [
    ("a.mp4", "libx264", {}),
    ("first.mp4", "libx264", {"movflags": "faststart"}),
    ("fragments.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
    ("a.mkv", "libx264", {}),
    ("live.mkv", "libx264", {"live": "1"}),
    ("a.webm", "libvpx", {}),
    ("a.avi", "mpeg4", {}),
    ("a.flv", "flv", {}),
    ("a.wmv", "wmv2", {}),
    ("a.3gp", "mpeg4", {}),
]


#: With one that may be cut anywhere, as a broadcast may.
ALL_KINDS = [*KINDS, ("a.ts", "libx264", {})]


@functools.cache
def encoded(name: str) -> bytes:
    """The moving picture as the kind of file, with a key picture every 12."""
    _, codec, muxer = next(kind for kind in ALL_KINDS if kind[0] == name)
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(Path(folder) / name, moving(), codec=codec, muxer=muxer, g="12")
        return path.read_bytes()


@pytest.mark.parametrize("name", [name for name, *_ in KINDS])
def test_whole_ones_are_taken_and_cut_ones_found(tmp_path: Path, name: str) -> None:
    path, whole = tmp_path / name, encoded(name)
    path.write_bytes(whole)
    assert missing(path) is None and verify(path).frames == 60
    for share in (0.4, 0.75, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(DataError, match=r"cut off|damaged") as caught:
            verify(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "codec"), [kind[:2] for kind in ALL_KINDS])
@pytest.mark.parametrize("share", [0.02, 0.2])
def test_holes_of_zeros_are_found(tmp_path: Path, name: str, codec: str, share: float) -> None:
    if (share, codec) == (0.02, "libvpx"):
        pytest.skip("within one picture of VP8, whose decoder says nothing")
    path, data = tmp_path / name, bytearray(encoded(name))
    middle, hole = len(data) // 2, int(len(data) * share)
    data[middle : middle + hole] = bytes(hole)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"cut off|damaged"):
        verify(path)


@pytest.mark.parametrize(("name", "codec", "muxer"), KINDS)
def test_no_damage_is_a_crash(tmp_path: Path, name: str, codec: str, muxer: dict[str, str]) -> None:
    path = write_video(tmp_path / name, moving(8), codec=codec, muxer=muxer)
    whole = path.read_bytes()
    dice = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole[: int(dice.integers(1, len(whole) + 1))])
        for _ in range(int(dice.integers(0, 3))):
            at = int(dice.integers(0, min(len(data), 400) if dice.integers(2) else len(data)))
            patch = dice.bytes(int(dice.integers(1, 9)))
            data[at : at + len(patch)] = patch
        path.write_bytes(data)
        assert missing(path) is None or "\n" not in str(missing(path))


def test_what_stands_behind_the_end_is_left(tmp_path: Path) -> None:
    for name, codec, muxer in KINDS[:1] + KINDS[3:4] + KINDS[6:8]:
        path = write_video(tmp_path / name, moving(20), codec=codec, muxer=muxer)
        path.write_bytes(path.read_bytes() + b"appended by some program")
        assert verify(path).frames == 20


def test_a_cut_without_encoding_keeps_its_frames(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", moving(), g="12")
    path = tmp_path / "cut.mkv"
    with av.open(str(source)) as before, av.open(str(path), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        taken = [packet for packet in before.demux(video=0) if packet.size][24:48]
        for packet in taken:
            packet.stream = stream
            after.mux_one(packet)
    assert verify(path).frames == 24


def test_every_odd_file_counts_as_expected(odd_files: Path) -> None:
    import csv

    with (odd_files / "expected.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        for info in (probe(odd_files / row["file"]), verify(odd_files / row["file"])):
            assert info.frames == int(row["frames"]), row
            # A chunk more or less: AVI counts an empty one that stands for the start of the sound.
            assert info.duration_s == pytest.approx(float(row["seconds"] or 4), abs=0.034), row
            assert bool(info.remark) == (not row["seconds"]), row
