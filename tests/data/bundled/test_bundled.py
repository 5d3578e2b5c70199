"""The bundled clips differ in what their classes say, and in nothing else."""

from __future__ import annotations

import csv
import functools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from expand3d.data.bundled import make as bundled
from expand3d.data.bundled.scenes import CLASS_NAMES, FRAMES, PAIRS, SHAKE, SIDE, render
from expand3d.data.decode import decode
from expand3d.data.manifest import load_manifest

REVERSED = ("slide", "spin", "cycle", "light")


def clip(name: str, scene: int) -> NDArray[np.uint8]:
    return render(CLASS_NAMES.index(name), np.random.default_rng((5, scene)))


def both(pair_name: str, scene: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The two classes of a pair in the same scene."""
    first, second = next(pair.classes for pair in PAIRS if pair.name == pair_name)
    return clip(first, scene), clip(second, scene)


def two_sided_p(right: int, of: int) -> float:
    """Exact binomial p-value against one half."""
    tail = sum(math.comb(of, k) for k in range(of + 1) if abs(k - of / 2) >= abs(right - of / 2))
    return tail / 2**of


# What is rendered


def test_a_clip_is_three_channels_of_bytes_and_the_same_for_a_seed() -> None:
    first, again, other = clip("slide_left", 1), clip("slide_left", 1), clip("slide_left", 2)
    assert (first.shape, first.dtype) == ((FRAMES, SIDE, SIDE, 3), np.uint8)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("pair", REVERSED)
@pytest.mark.parametrize("scene", range(3))
def test_played_backward_a_clip_is_the_other_class_in_the_same_scene(pair: str, scene: int) -> None:
    first, second = both(pair, scene)
    assert np.array_equal(second, first[::-1])
    assert not np.array_equal(second, first)


def test_each_way_of_differing_has_its_pair() -> None:
    assert sorted(pair.name for pair in PAIRS if pair.reverse) == sorted(REVERSED)
    assert 8 <= len(CLASS_NAMES) == len(set(CLASS_NAMES)) <= 12


@pytest.mark.parametrize("scenes", [40, pytest.param(60, marks=pytest.mark.slow)])
def test_single_frames_of_slow_and_fast_cannot_be_told_apart(scenes: int) -> None:
    right = told_apart(scenes, "run_slow", "run_fast")
    assert two_sided_p(right, scenes) > 0.01
    # The same classifier does tell other classes by a frame, so it is not blind.
    assert two_sided_p(told_apart(scenes, "run_slow", "light_dawn"), scenes) < 0.001


@functools.cache
def coarse(name: str, scene: int) -> NDArray[np.float64]:
    """A frame in squares of ten pixels, and a one."""
    frame = clip(name, scene)[(7 * scene) % FRAMES].reshape(16, 10, 16, 10, 3)
    return np.append(frame.mean(axis=(1, 3)).ravel() / 255, 1)


def told_apart(scenes: int, *names: str) -> int:
    """The frames, one a scene, that a linear classifier gets right, fitted on as many others."""
    x = np.array([coarse(name, scene) for scene in range(scenes) for name in names])
    y = np.tile([-1, 1], scenes)
    # Ridge regression in its dual form: fewer clips than numbers of each.
    seen = x[:scenes]
    weights = seen.T @ np.linalg.solve(seen @ seen.T + np.eye(scenes), y[:scenes])
    return int((np.sign(x[scenes:] @ weights) == y[scenes:]).sum())


@pytest.mark.parametrize("scene", range(4))
def test_the_fast_class_repeats_itself_four_times_as_often(scene: int) -> None:
    slow, fast = both("run", scene)
    assert np.array_equal(slow[0], fast[0])
    assert cycles(fast) in (2, 3)  # 64 frames at 26 to 32 a cycle
    assert cycles(slow) in (0, 1)  # and at 104 to 128


def cycles(pixels: NDArray[np.uint8]) -> int:
    """Whole cycles of colour that the pixel that changes most goes through in the clip."""
    series = pixels[:, ::8, ::8, 0].reshape(FRAMES, -1).astype(float)
    wave = series[:, series.var(axis=0).argmax()]
    return int(np.abs(np.fft.rfft(wave - wave.mean())).argmax())


def test_a_spin_looks_the_same_in_both_directions_14_frames_apart_but_not_7() -> None:
    pixels = clip("spin_clockwise", 3)
    assert likeness(pixels, 14) < 0.5 * likeness(pixels, 7)


def likeness(pixels: NDArray[np.uint8], apart: int) -> float:
    """Mean difference of the frames before and after the middle, so far away from it."""
    middle = FRAMES // 2
    before, after = pixels[middle - apart].astype(float), pixels[middle + apart].astype(float)
    return float(np.abs(before - after).mean())


def test_the_light_grows_surely_over_the_clip_but_not_within_half_a_second() -> None:
    whole, near = [], []
    for scene in range(24):
        light = np.log(clip("light_dawn", scene).mean(axis=(1, 2, 3)) + 1)
        whole.append(light[-16:].mean() > light[:16].mean())
        near += [light[start + 14] > light[start] for start in range(0, FRAMES - 14, 5)]
    assert np.mean(whole) > 0.95
    # d' = gain x 14 / 64 / (flicker x sqrt 2) = 0.72, which is right in about 3 of 4 cases.
    assert 0.6 < np.mean(near) < 0.85


def test_the_cloth_is_striped_at_160_pixels_and_plain_grey_at_112() -> None:
    at_160, at_112 = [], []
    for scene in range(4):
        for found, side in ((at_160, 160), (at_112, 112)):
            striped, plain = (texture(pixels, side) for pixels in both("cloth", scene))
            found.append(striped - plain)
    assert min(at_160) > 40
    assert max(at_112) < 0.1 * min(at_160)


def texture(pixels: NDArray[np.uint8], side: int) -> float:
    """Standard deviation in grey levels in the middle of the cloth, seen at so many pixels."""
    import torch
    from torch.nn.functional import interpolate

    frame = torch.from_numpy(pixels[0].copy()).permute(2, 0, 1)[None].float()
    seen = interpolate(frame, size=(side, side), mode="bilinear", antialias=True)[0].mean(dim=0)
    middle, half = side // 2, side // 8
    return float(seen[middle - half : middle + half, middle - half : middle + half].std())


def test_scenes_vary_in_ground_place_and_camera() -> None:
    grounds = {tuple(clip("cycle_rgb", scene)[0, 0, 0]) for scene in range(6)}
    assert len(grounds) == 6
    pixels = clip("cloth_plain", 1).astype(int)
    assert np.abs(pixels[0] - pixels[-1]).mean() > 1, f"the camera strays by up to {SHAKE} pixels"


# What is written


def test_the_same_seed_writes_the_same_bytes_however_many_work_on_it(tmp_path: Path) -> None:
    for name, seed, workers in (("a", 0, 1), ("b", 0, 3), ("c", 1, 2)):
        bundled.generate(tmp_path / name, seed=seed, train=1, val=0, test=0, workers=workers)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == len(CLASS_NAMES) + 1
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
    videos = [path for path in files if path.suffix == ".mp4"]
    assert all(
        (tmp_path / "a" / path).read_bytes() != (tmp_path / "c" / path).read_bytes()
        for path in videos
    )


def test_written_videos_decode_to_what_was_rendered(tmp_path: Path) -> None:
    striped, plain = both("cloth", 0)
    bundled.write_video(tmp_path / "striped.mp4", striped)
    read = decode(tmp_path / "striped.mp4", fps=30, short_side=None)
    assert read.shape == striped.shape
    # The finest detail outlives the encoder.
    assert texture(read, 160) > 0.8 * texture(striped, 160) > texture(plain, 160) + 30


def test_at_least_300_clips_validate_and_no_scene_stands_on_two_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled, "_make", lambda folder, scene: None)
    manifest = bundled.generate(tmp_path)
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["split"] for row in rows)["val"] >= 300
    assert Counter(row["split"] for row in rows)["test"] >= 300
    assert len({row["path"] for row in rows}) == len(rows)
    per_class = Counter((row["split"], row["label_name"]) for row in rows)
    assert len(per_class) == 3 * len(CLASS_NAMES)
    assert len({count for (split, _), count in per_class.items() if split == "val"}) == 1
    sides, classes = defaultdict(set), defaultdict(list)
    for row in rows:
        sides[row["group"]].add(row["split"])
        classes[row["group"]].append(row["label_name"])
    assert all(len(found) == 1 for found in sides.values())
    pairs = {pair.classes for pair in PAIRS}
    assert all(tuple(found) in pairs for found in classes.values())
    assert sorted(load_manifest(tmp_path).class_names) == sorted(CLASS_NAMES)


def test_scenes_of_different_parts_have_different_seeds() -> None:
    made = list(bundled.scenes(seed=0, train=3, val=3, test=3))
    by_seed = defaultdict(set)
    for scene in made:
        by_seed[scene.seed].add((scene.group, scene.split))
    assert all(len(found) == 1 for found in by_seed.values())
    assert len(by_seed) == 9 * len(PAIRS)


# What networks make of it

MOTION = ("slide_left", "slide_right", "cycle_rgb", "cycle_bgr")


class Rendered:
    """Scenes of the motion classes, rendered when asked for; the last part is played backward."""

    def __init__(self, *, train: int, val: int) -> None:
        self._clips = [(name, scene, False) for scene in range(train + val) for name in MOTION] + [
            (name, scene, True) for scene in range(train, train + val) for name in MOTION
        ]
        self.labels = [MOTION.index(name) ^ backward for name, _, backward in self._clips]
        self.keys = [f"{name}-{scene}-{back}" for name, scene, back in self._clips]
        self.groups: Sequence[str | None] = [f"{name[:5]}-{n}" for name, n, _ in self._clips]
        self.identities = self.keys
        self.class_names = MOTION
        self.every = 1

    def __len__(self) -> int:
        return len(self._clips)

    def frames(self, index: int) -> NDArray[np.uint8]:
        name, scene, backward = self._clips[index]
        pixels = clip(name, scene)
        return np.ascontiguousarray(pixels[::-1]) if backward else pixels


def trained(store: Rendered, held_out: range, **factors: int) -> list[tuple[int, int]]:
    """Label and rank of the true class of each held-out clip, after a quick training."""
    from expand3d.core.recipe import get_profile
    from expand3d.networks import get_family
    from expand3d.training.tasks.classify import train

    family = get_family("x3d")
    plan = family.resolve(family.base.replace(**factors), num_classes=len(MOTION))
    training = train(
        plan,
        store,
        train_indices=range(held_out.start),
        eval_indices=held_out,
        recipe=get_profile("quick"),
        seed=0,
        forward_macs=family.cost(plan).macs,
        threads=1,
    )
    assert training.status == "ok", training.reason
    return [(score.label, score.rank) for score in training.scores]


@pytest.mark.slow
def test_one_frame_is_at_chance_where_two_frames_know_and_reversal_flips_the_label() -> None:
    train, val = 40, 20
    store = Rendered(train=train, val=val)
    forward = range(len(MOTION) * train, len(MOTION) * (train + val))
    everything = range(forward.start, len(store))

    one = trained(store, forward)
    in_pair = [rank for _, rank in one if rank <= 1]
    assert len(in_pair) > 0.9 * len(one), "one frame does show which pair it is"
    assert two_sided_p(sum(rank == 0 for _, rank in one), len(one)) > 0.01

    two = trained(store, everything, gamma_t=2, gamma_tau=14)
    ahead, backward = two[: len(forward)], two[len(forward) :]
    for found in (ahead, backward):  # the label of a clip played backward is the other class
        right = sum(rank == 0 for _, rank in found)
        assert right > 0.75 * len(found)
        assert two_sided_p(right, len(found)) < 0.001
