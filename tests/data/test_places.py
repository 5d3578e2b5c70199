"""Videos that are folders of pictures or members of a tar are read as files are."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from expand3d.core.errors import DataError
from expand3d.data.decode import decode, probe, verify
from expand3d.data.hashes import FileHashes, sha256
from expand3d.data.places import at_rate, require_file
from tests.helpers.made_videos import greys, values, write_pictures, write_video


def test_pictures_are_shown_at_the_rate_of_their_path(tmp_path: Path) -> None:
    levels = [20 * k for k in range(1, 13)]
    folder = write_pictures(tmp_path / "00001", greys(levels))
    path = Path(at_rate(str(folder), 12))
    assert path == folder / "@12fps"
    for info in (probe(path), verify(path)):
        assert (info.frames, info.fps, info.width, info.height) == (12, 12.0, 48, 32)
        assert info.duration_s == 1.0
    # Frame k at 30 a second shows picture floor(12 k / 30).
    expected = [levels[12 * k // 30] for k in range(30)]
    clip = decode(path, fps=30, short_side=None)
    assert np.abs(np.subtract(values(clip), expected)).max() <= 2
    assert (decode(path, fps=30, short_side=None, every=8) == clip[::8]).all()
    assert decode(path, fps=6, short_side=16).shape == (6, 16, 24, 3)
    assert probe(folder).fps == 30.0


def test_pictures_follow_their_numbers_and_flow_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number, level in ((10, 200), (9, 100), (2, 50)):
        made = write_pictures(tmp_path / str(number), greys([level]))
        next(made.iterdir()).rename(folder / f"img_{number}.jpg")
        (folder / f"flow_x_{number}.jpg").touch()
    assert (
        np.abs(np.subtract(values(decode(folder, fps=30, short_side=None)), [50, 100, 200])).max()
        <= 2
    )


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", greys([50, 100, 150]))
    second = sorted(folder.iterdir())[1]
    whole = second.read_bytes()
    second.write_bytes(whole[: len(whole) // 2])
    probe(folder)
    with pytest.raises(DataError, match=f"{second.name} is cut off"):
        verify(folder)
    second.write_bytes(b"text")
    with pytest.raises(DataError, match=f"{second.name} is damaged"):
        decode(folder, fps=30, short_side=None)
    write_pictures(tmp_path / "b", greys([100], height=64))
    (tmp_path / "b" / "00001.jpg").replace(second)
    with pytest.raises(DataError, match="48 x 64 pixels, pictures before it 48 x 32"):
        verify(folder)


def test_the_hash_of_pictures_is_of_their_bytes_and_rate(tmp_path: Path) -> None:
    one, two = (write_pictures(tmp_path / name, greys([50, 100])) for name in "ab")
    assert sha256(one) == sha256(two) != sha256(one / "@12fps")
    hashes = FileHashes(tmp_path / "index.json")
    before = hashes.sha256(one)
    write_pictures(one, greys([50, 120]))
    assert hashes.sha256(one) != before


def test_a_member_of_a_tar_is_the_video_that_it_holds(tmp_path: Path) -> None:
    shard = tmp_path / "train-000000.tar"
    files = [
        write_video(tmp_path / "a.mp4", greys(range(50, 70))),
        write_video(tmp_path / "b.avi", greys(range(150, 170)), codec="mpeg4"),
    ]
    with tarfile.open(shard, "w") as tar:
        for file in files:
            tar.add(file, f"./{file.name}")
    for file in files:
        path = shard / file.name
        assert probe(path) == probe(file) and verify(path) == verify(file)
        assert (decode(path, fps=30, short_side=16) == decode(file, fps=30, short_side=16)).all()
        assert sha256(path) == sha256(file)
        assert require_file(path).size == file.stat().st_size
    with pytest.raises(DataError, match=r"missing \(the shard has no c.mp4\)"):
        probe(shard / "c.mp4")


def test_a_cut_video_within_a_whole_tar_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (20, 32, 48, 3), dtype=np.uint8)
    video = write_video(tmp_path / "a.avi", [*noise], codec="mpeg4")
    video.write_bytes(video.read_bytes()[:-3000])
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        tar.add(video, "a.avi")
        tar.add(video, "b.avi")
    with pytest.raises(DataError, match="cut off"):
        verify(tmp_path / "s.tar" / "a.avi")
    shard = tmp_path / "s.tar"
    shard.write_bytes(shard.read_bytes()[: 512 + 2 * video.stat().st_size])
    with pytest.raises(DataError, match=r"s.tar: (cut off|damaged)"):
        verify(shard / "b.avi")
