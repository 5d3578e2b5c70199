"""The sizes that clips are decoded at."""

from __future__ import annotations

from expand3d.data.tiers import tier, tiers


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
