"""Nearly the same film: what is found, what is not, and what follows for the parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from expand3d.data.check import check
from expand3d.data.decode import decode
from expand3d.data.manifest import Manifest, Video, load_manifest
from expand3d.data.near import near_copies, thumbnails
from expand3d.data.same import grouped_by_pairs, torn_groups
from tests.helpers.made_videos import write_video


def moving(seed: int, count: int = 60, *, scene: int | None = None) -> list[np.ndarray]:
    """A blurred scene with two bright squares that move; the seeds say which and how."""
    draw = np.random.default_rng(seed if scene is None else scene)
    coarse = draw.integers(40, 180, (6, 8, 3)).astype(np.uint8)
    back = np.kron(coarse, np.ones((16, 16, 1), dtype=np.uint8))
    draw = np.random.default_rng(seed)
    places, speeds = draw.uniform(0, 70, (2, 2)), draw.uniform(-1.5, 1.5, (2, 2))
    frames = []
    for k in range(count):
        frame = back.copy()
        for place, speed in zip(places, speeds, strict=True):
            y, x = (np.abs((place + k * speed + 70) % 140 - 70)).astype(int)
            frame[y : y + 24, x : x + 24] = 250
        frames.append(frame)
    return frames


def copied(frames: list[np.ndarray], path: Path, kind: int) -> Path:
    """A near copy: re-encoded, scaled, cropped by 10% at the middle or the edge, or shifted."""
    if kind % 4 == 0:
        return write_video(path, frames, crf="38")
    if kind % 4 == 1:
        return write_video(path, [frame[::2, ::2] for frame in frames])
    if kind % 4 == 2:
        top, left = (4, 6) if kind % 8 == 2 else (0, 12)
        return write_video(path, [frame[top : top + 86, left : left + 114] for frame in frames])
    return write_video(path, frames[15:])


def test_copies_are_found_and_clips_of_one_scene_are_not(tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{k}.mp4", moving(k)) for k in range(4)]
    paths += [copied(moving(k), tmp_path / f"copy{k}.mp4", k) for k in range(4)]
    paths.append(write_video(tmp_path / "scene.mp4", moving(77, scene=0)))
    found = near_copies([thumbnails(path) for path in paths])
    assert {(near.first, near.second) for near in found} == {(k, k + 4) for k in range(4)}
    assert near_copies([]) == () == near_copies([thumbnails(paths[0])])


def test_a_check_tells_copies_on_two_sides(tmp_path: Path) -> None:
    lines = ["path,label_name,split,group"]
    for k in range(4):
        write_video(tmp_path / f"{k}.mp4", moving(k))
        lines.append(f"{k}.mp4,{'ab'[k % 2]},{('train', 'val')[k // 2]},g{k % 2}")
    copied(moving(0), tmp_path / "copy.mp4", 3)
    copied(moving(1), tmp_path / "same.mp4", 1)
    lines += ["copy.mp4,a,val,other", "same.mp4,b,train,g1"]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    manifest = load_manifest(tmp_path / "list.csv")
    report = check(manifest, near=True, workers=1)
    told = {near.keys: (near.fault, near.scene) for near in report.near}
    assert told == {
        ("0.mp4", "copy.mp4"): ("in the parts train and val", None),
        ("1.mp4", "same.mp4"): ("", "g1"),
    }
    assert not report.ok and check(manifest, workers=1).ok
    assert torn_groups(manifest) == {"g0": ("train", "val"), "g1": ("train", "val")}


def test_groups_take_in_pairs_and_each_others_videos() -> None:
    groups = ("x", None, "x", None, "y", None)
    videos = tuple(Video(Path(f"{k}"), f"{k}", 0, group) for k, group in enumerate(groups))
    found = grouped_by_pairs(Manifest(videos, ("a",), ""), [(1, 2), (3, 5)])
    assert [v.group for v in found.videos] == ["near 0"] * 3 + ["near 3", "y", "near 3"]


@pytest.mark.slow
def test_twenty_planted_copies_of_real_clips(ut_interaction: Path, tmp_path: Path) -> None:
    """18 of 20 planted copies are found, and two false pairs across sequences at most."""
    manifest = load_manifest(ut_interaction / "manifest.csv")
    thumbs = [thumbnails(video.path) for video in manifest.videos]
    false = [(n.first, n.second) for n in near_copies(thumbs)]
    across = [pair for pair in false if len({manifest.videos[i].group for i in pair}) > 1]
    assert len(across) <= 2
    planted = {}
    for k in range(20):
        clip = decode(manifest.videos[6 * k].path, fps=30, short_side=None)
        height, width = (size // 4 * 4 for size in clip.shape[1:3])
        frames = [frame[:height, :width] for frame in clip]
        if k % 4 == 2:
            top, left = height // 20, width // 20
            wide, high = (int(0.9 * size) // 2 * 2 for size in (width, height))
            cropped = [frame[top : top + high, left : left + wide] for frame in frames]
            path = write_video(tmp_path / f"{k}.mp4", cropped)
        else:
            path = copied(frames, tmp_path / f"{k}.mp4", k)
        planted[len(thumbs)] = 6 * k
        thumbs.append(thumbnails(path))
    found = {(near.second, near.first) for near in near_copies(thumbs)}
    assert sum(pair in found for pair in planted.items()) >= 18
