"""Squares and pixels of a view, against hand-computed values and a plain resize-then-crop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from expand3d.data import crops as augment
from expand3d.data.crops import Region


@pytest.mark.parametrize(("crop", "side"), [(160, 182), (224, 256), (312, 356), (112, 128)])
def test_three_crops_are_taken_at_the_published_30_view_size(crop: int, side: int) -> None:
    assert augment.test_crop(crop, 3) == side
    assert augment.test_crop(crop, 1) == crop


def test_test_regions_are_whole_squares_along_the_longer_side() -> None:
    assert augment.test_regions(100, 161, 1) == [Region(0, 30, 100)]
    assert augment.test_regions(100, 160, 3) == [(0, 0, 100, 0), (0, 30, 100, 0), (0, 60, 100, 0)]
    assert augment.test_regions(160, 100, 3) == [(0, 0, 100, 0), (30, 0, 100, 0), (60, 0, 100, 0)]


def test_training_squares_are_a_crop_of_the_jittered_size() -> None:
    jitter = (128 / 112, 160 / 112)

    def region(*uniforms: float) -> Region:
        return augment.train_region(256, 340, crop=112, jitter=jitter, flip=True, uniforms=uniforms)

    # short side 128: the crop of 112 is 224 of the stored 256 pixels; then 160: 179.2
    assert region(0.0, 0.0, 0.0, 0.5) == Region(0, 0, 224, False)
    assert region(1 - 1e-9, 0.0, 0.0, 0.5).side == 179
    # the last legal place: rows 32..255, columns 116..339
    assert region(0.0, 1 - 1e-9, 1 - 1e-9, 0.49) == Region(32, 116, 224, True)


def test_training_squares_stay_inside_odd_shapes() -> None:
    rng = np.random.default_rng(0)
    for height, width in [(1, 1), (1, 50), (33, 20), (112, 112), (300, 41)]:
        for _ in range(200):
            top, left, side, _flip = augment.train_region(
                height, width, crop=64, jitter=(1.0, 1.5), flip=False, uniforms=rng.random(4)
            )
            assert side >= 1 and top >= 0 and left >= 0
            assert top + side <= height and left + side <= width


def _smooth_clip(frames: int, height: int, width: int) -> np.ndarray:
    """Slow waves, different in every frame and channel."""
    t, y, x, c = np.meshgrid(*map(np.arange, (frames, height, width, 3)), indexing="ij")
    return (127 + 120 * np.sin(y / 9 + c) * np.cos(x / 11 + t)).astype(np.uint8)


@pytest.mark.parametrize("resized", [64, 128])
def test_cutting_first_shows_what_resizing_first_shows(resized: int) -> None:
    clip = _smooth_clip(3, 96, 120)
    scale = resized / 96
    whole = torch.from_numpy(clip).permute(0, 3, 1, 2).float()
    size = (resized, round(120 * scale))
    whole = interpolate(whole, size=size, mode="bilinear", antialias=True)
    region = Region(24, 48, 48)  # in stored pixels
    crop = round(48 * scale)
    view = augment.read(clip, np.array([2, 0]), region, crop)
    top, left = round(24 * scale), round(48 * scale)
    expected = whole[[2, 0], :, top : top + crop, left : left + crop].permute(0, 2, 3, 1)
    assert view.shape == (2, crop, crop, 3) and view.dtype == torch.uint8
    inner = (view.float() - expected)[:, 2:-2, 2:-2]  # the cut's border sees no neighbours
    assert inner.abs().max() <= 1.5


def test_no_resizing_leaves_pixels_as_they_are_and_a_flip_mirrors_them() -> None:
    clip = _smooth_clip(2, 40, 50)
    plain = augment.read(clip, np.array([1]), Region(3, 5, 32), 32)
    assert np.array_equal(plain.numpy(), clip[1:2, 3:35, 5:37])
    mirrored = augment.read(clip, np.array([1]), Region(3, 5, 32, True), 32)
    assert np.array_equal(mirrored.numpy(), clip[1:2, 3:35, 36:4:-1])


def test_normalised_views_are_channels_last_without_a_copy_of_the_layout() -> None:
    views = torch.zeros(2, 4, 8, 8, 3, dtype=torch.uint8)
    views[0, 1, 2, 3, 1] = 255
    clips = augment.normalise(views)
    assert clips.shape == (2, 3, 4, 8, 8)
    assert clips.is_contiguous(memory_format=torch.channels_last_3d)
    assert clips[0, 1, 1, 2, 3].item() == pytest.approx((1 - 0.45) / 0.225, abs=1e-5)
    assert clips[1, 0, 0, 0, 0].item() == pytest.approx(-2.0, abs=1e-5)
