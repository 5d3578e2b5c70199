"""The sizes that clips are decoded at, and the frames that they keep."""

from __future__ import annotations

import pytest

from expand3d.core.inputs import Input
from expand3d.data.tiers import enough, sparseness, tier, tiers


def test_every_second_tier_is_twice_as_large() -> None:
    found = tiers(1, 1500)
    assert found == (80, 116, 160, 232, 320, 464, 640, 928, 1280, 1856)
    assert all(later == 2 * earlier for earlier, later in zip(found, found[2:], strict=False))


def test_the_papers_crops_fit_their_tiers_closely() -> None:
    jitter = 160 / 112
    assert [tier(crop * jitter) for crop in (112, 160, 224, 312)] == [160, 232, 320, 464]
    # A crop's size is rounded to the nearest pixel, and never further down.
    assert (tier(160.4), tier(160.6), tier(232.5), tier(233)) == (160, 232, 232, 320)


def test_tiers_between_two_sizes() -> None:
    assert tiers(160, 160) == (160,)
    assert tiers(150, 330) == (160, 232, 320, 464)
    assert tiers(300, 100) == (320,)


def test_small_videos_and_short_ones_keep_all_frames() -> None:
    assert sparseness(160, 1000) == sparseness(20, 1000) == (1,)
    # 57 frames are 8 of every 8th, 56 are 7; 15 frames are 8 of every 2nd, 14 are 7.
    assert sparseness(161, 57) == (8, 2, 1)
    assert sparseness(161, 56) == sparseness(480, 15) == (2, 1)
    assert sparseness(161, 14) == sparseness(480, 1) == (1,)


@pytest.mark.parametrize(
    ("inputs", "every"),
    [
        ([Input(1, 1, 112)], 8),  # a single picture may be any frame
        ([Input(1, 5, 112, segments=3)], 8),
        ([Input(2, 14, 112)], 2),
        ([Input(4, 12, 112)], 2),
        ([Input(8, 8, 224)], 8),
        ([Input(16, 5, 224)], 1),
        ([Input(4, 16, 224), Input(32, 2, 224)], 2),
        ([Input(4, 16, 224), Input(32, 1, 224)], 1),
        ([Input(1, 1, 224, kind="rgb-difference")], 1),
        ([Input(1, 1, 224, stack=5)], 1),
        ([Input(1, 1, 224), Input(1, 1, 224, kind="flow")], 1),
    ],
)
def test_networks_read_as_few_frames_as_their_strides_allow(
    inputs: list[Input], every: int
) -> None:
    assert enough(inputs, (8, 2, 1)) == every
    assert enough(inputs, (1,)) == 1
