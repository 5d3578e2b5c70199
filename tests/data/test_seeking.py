"""Frames that are sought in a video are those of decoding it from the beginning, bit for bit."""

from __future__ import annotations

import dataclasses
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expand3d.core.errors import DataError
from expand3d.data import seeking
from expand3d.data.decode import decode
from expand3d.data.places import at_rate
from expand3d.data.seeking import FrameIndex, Misled, frames_at, index_of
from tests.helpers.made_videos import rotate_clockwise, write_pictures, write_video

#: Frames that move, in groups of six that each begin anew.
NOISE = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
FRAMES = [np.roll(NOISE, 2 * k, axis=1)[:40, :60] for k in range(20)]
GROUPS = {"g": "6", "bf": "2"}


def _tar(folder: Path) -> Path:
    video = write_video(folder / "b.mp4", FRAMES, **GROUPS)
    with tarfile.open(folder / "some.tar", "w") as shard:
        shard.add(folder / "b.mp4", "other.mp4")
        shard.add(video, "a/b.mp4")
    video.unlink()
    return folder / "some.tar" / "a" / "b.mp4"


def _made(name: str, folder: Path) -> Path:
    if name == "tar":
        return _tar(folder)
    if name == "pictures":
        return Path(at_rate(str(write_pictures(folder / "clip", FRAMES[:12])), 12))
    codec = {"a.avi": "mpeg4", "a.webm": "libvpx"}.get(name, "libx264")
    options = {**GROUPS, "x264-params": "open-gop=1"} if name == "a.ts" else GROUPS
    video = write_video(folder / name, FRAMES, codec=codec, **options)
    return rotate_clockwise(video, 90) if name == "turned.mp4" else video


def _read(path: Path, index: FrameIndex, numbers: list[int]) -> dict[int, np.ndarray]:
    """As a reader of clips does, who reads from the beginning where seeking misled."""
    try:
        return frames_at(path, index, numbers, short_side=24)
    except Misled:
        return frames_at(path, index.unsought(), numbers, short_side=24)


@pytest.mark.parametrize(
    "name", ["a.mp4", "turned.mp4", "a.avi", "a.webm", "a.ts", "tar", "pictures"]
)
def test_they_are_those_of_decoding(name: str, tmp_path: Path) -> None:
    path = _made(name, tmp_path)
    index = index_of(path)
    for fps, every in ((30, 1), (25, 2), (60, 8)):
        whole = decode(path, fps=fps, short_side=24, every=every)
        kept = index.kept(fps, every)
        assert len(kept) == len(whole) and index.size(24) == (whole.shape[2], whole.shape[1])
        for places in ([len(kept) - 1], [0, len(kept) // 2], [len(kept) // 3, len(kept) - 1]):
            found = _read(path, index, sorted({int(kept[place]) for place in places}))
            for place in places:
                assert np.array_equal(found[kept[place]], whole[place])


def test_little_else_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", FRAMES, **GROUPS)
    index = index_of(path)
    assert [*index.keys] == [0, 6, 12, 18]
    decoded, real = [], seeking.frames_from_here

    def counted(*args: Any) -> Iterator[Any]:
        for frame in real(*args):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(seeking, "frames_from_here", counted)
    frames_at(path, index, [8, 19], short_side=24)
    # From a beginning each, and no further than the frame; between them nothing.
    assert decoded == [*index.ticks[6:9], *index.ticks[18:20]]
    decoded.clear()
    frames_at(path, index, [1, 4], short_side=24)
    assert decoded == [*index.ticks[:5]]


def test_other_pixels_than_the_index_knows_are_never_given(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", FRAMES, **GROUPS)
    index = index_of(path)
    other = dataclasses.replace(index, sums=index.sums + np.uint32(1))
    with pytest.raises(Misled):
        frames_at(path, other, [15], short_side=24)
    with pytest.raises(DataError, match=r"a\.mp4: its frames are no longer what they were"):
        frames_at(path, other.unsought(), [15], short_side=24)
    write_video(path, FRAMES[:8], **GROUPS)
    with pytest.raises(DataError, match="no longer"):
        frames_at(path, index.unsought(), [15], short_side=24)


def test_a_folder_that_lost_a_picture_is_refused(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "clip", FRAMES[:4])
    index = index_of(folder)
    (folder / "00002.jpg").unlink()
    with pytest.raises(DataError, match="3 pictures, 4 when it was first read"):
        frames_at(folder, index, [1], short_side=24)


def test_an_index_is_kept_in_a_file(tmp_path: Path) -> None:
    path = rotate_clockwise(write_video(tmp_path / "a.mp4", FRAMES, **GROUPS), 90)
    index, file = index_of(path), tmp_path / "of" / "a.npz"
    assert FrameIndex.load(file) is None
    index.save(file)
    found = FrameIndex.load(file)
    assert found is not None
    for name, value in vars(index).items():
        assert np.array_equal(getattr(found, name), value), name
    for damage in (file.read_bytes()[:-40], b"", b"no index"):
        file.write_bytes(damage)
        assert FrameIndex.load(file) is None


def test_what_cannot_be_decoded_is_refused_as_by_verify(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", FRAMES, muxer={"movflags": "faststart"}, **GROUPS)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"a\.mp4: "):
        index_of(path)
