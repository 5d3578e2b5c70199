"""Data sets of one's own: their clips in the cache are what videos of them would be."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from expand3d.core.errors import DataError
from expand3d.data.arrays import contents_of
from expand3d.data.cache import CacheSpec
from expand3d.data.decode import decode
from tests.helpers.made_videos import write_video


def clip(number: int, frames: int = 6, height: int = 40, width: int = 48) -> np.ndarray:
    """Plain frames, each a little brighter."""
    grey = 20 * number + np.arange(frames, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(grey, (frames, height, width, 3)).copy()


@dataclass
class Mine:
    clips: Any
    labels: Any
    more: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        if name in ("keys", "groups", "parts", "class_names", "fps"):
            return self.more.get(name)
        raise AttributeError(name)


def test_contents_and_clips(tmp_path: Path) -> None:
    clips = [clip(number, frames=5 + number) for number in range(4)]
    data = Mine(clips, ["b", "a", "b", "a"])
    contents = contents_of(data, fps=30)
    manifest = contents.manifest
    assert manifest.source == "python:Mine" and manifest.class_names == ("a", "b")
    assert [(v.key, v.label) for v in manifest.videos] == [
        ("clip 0", 1),
        ("clip 1", 0),
        ("clip 2", 1),
        ("clip 3", 0),
    ]
    report = contents.report(fps=30)
    assert report.short_side == 40 and report.frames == 6.5 and report.classes == {"a": 2, "b": 2}
    store = contents.store(CacheSpec(30, 80), tmp_path)
    for number in range(4):
        assert np.array_equal(store.frames(number), clips[number])
    assert store.cached_bytes == sum(clip.nbytes + 128 for clip in clips)
    small = contents.store(CacheSpec(30, 20), tmp_path)
    assert small.frames(0).shape == (5, 20, 24, 3)
    assert small.frames(0)[:, 0, 0, 0].tolist() == clips[0][:, 0, 0, 0].tolist()


def test_tensors_and_numbers_are_taken_too(tmp_path: Path) -> None:
    clips = torch.from_numpy(np.stack([clip(number) for number in range(2)]))
    contents = contents_of(Mine(clips, torch.tensor([1, 0])), fps=30)
    assert [v.label for v in contents.manifest.videos] == [1, 0]
    assert contents.manifest.class_names == ("0", "1")
    as_arrays = contents_of(Mine(clips.numpy(), np.array([1, 0])), fps=30)
    assert as_arrays.shas == contents.shas
    named = contents_of(
        Mine(
            clips,
            [0, 1],
            {
                "class_names": ["x", "y"],
                "keys": ["p", "q"],
                "groups": [7, None],
                "parts": ["test", None],
            },
        ),
        fps=30,
    )
    first, second = named.manifest.videos
    assert (first.key, first.group, first.split) == ("p", "7", "test")
    assert (second.group, second.split) == (None, None) and named.manifest.class_names == ("x", "y")
    assert contents_of(SimpleNamespace(clips=clips, labels=[0, 1]), fps=30).manifest.source == (
        "python:SimpleNamespace"
    )


@pytest.mark.parametrize(("rate", "fps"), [(30, 30), (24, 30), (30, 12), (10, 30), (25, 10)])
def test_frames_are_chosen_as_of_a_video(tmp_path: Path, rate: int, fps: float) -> None:
    """A lossless video of the same frames, decoded at the target rate, shows the same ones."""
    frames = clip(0, frames=17) * 13
    video = write_video(tmp_path / "v.mkv", list(frames), rate=rate, codec="ffv1")
    seen = decode(video, fps=fps, short_side=None)[:, 0, 0, 0].astype(int)
    data = Mine([frames, frames], [0, 1], {"fps": Fraction(rate)})
    store = contents_of(data, fps=fps).store(CacheSpec(fps, 80), tmp_path / "cache")
    mine = store.frames(0)[:, 0, 0, 0].astype(int)
    assert len(mine) == len(seen) and np.abs(mine - seen).max() < 6  # YUV rounds


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    good = [clip(0), clip(1)]
    for data, says in (
        (
            Mine([good[0].astype(np.float32), good[1]], [0, 1]),
            "0: float32 6 x 40 x 48 x 3 must",
        ),
        (
            Mine([good[0], good[1].transpose(3, 0, 1, 2)], [0, 1]),
            "1: uint8 3 x 6 x 40 x 48 must",
        ),
        (Mine([good[0], good[1][:0]], [0, 1]), "clip 1: uint8 0 x 40 x 48 x 3 must"),
        (Mine(good, [0]), "2 clips and 1 labels"),
        (Mine(good, None), "needs labels"),
        (Mine(good, [0, 2]), "0 to 2, each of them at least once"),
        (Mine(good, [0.5, 1.0]), "whole numbers or names"),
        (Mine(good, ["a", "c"], {"class_names": ["a", "b"]}), "'c' is none of the class names"),
        (Mine(good, [0, 1], {"keys": ["same", "same"]}), "keys must be unique"),
        (Mine(good, [0, 1], {"parts": ["train", "dev"]}), "part 'dev' must be one of train, val"),
    ):
        with pytest.raises(DataError, match=says):
            contents_of(data, fps=30)


def test_a_clip_that_changes_is_refused(tmp_path: Path) -> None:
    clips = [clip(0), clip(1)]
    contents = contents_of(Mine(clips, [0, 1]), fps=30)
    clips[1][0] += 1
    with pytest.raises(DataError, match="clip 1: the clip is not the same each time"):
        contents.store(CacheSpec(30, 80), tmp_path)


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    contents = contents_of(Mine([clip(0), clip(1)], [0, 1]), fps=30)
    store = contents.planned(CacheSpec(30, 20), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    assert store.cached_bytes == 2 * 6 * 20 * 24 * 3
    assert store.ahead.clips == 2  # type: ignore[attr-defined]
