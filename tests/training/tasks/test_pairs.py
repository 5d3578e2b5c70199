"""Pairs: half of them match, the others are of two videos, and all hang on their number alone."""

from __future__ import annotations

from collections import Counter

import torch

from expand3d.training.tasks.pairs import another, centre_views, train_pair_batch, train_pairs
from tests.helpers.train_toys import make_plan, make_recipe, make_store


def test_half_match_and_the_others_are_of_two_videos() -> None:
    pairs = train_pairs(3, 5, start=0, count=40)
    assert [pair.matched for pair in pairs] == [True, False] * 20
    for epoch in range(8):  # every clip is shown once an epoch
        assert sorted(pair.clip for pair in pairs if pair.epoch == epoch) == [0, 1, 2, 3, 4]


def test_pairs_hang_on_their_number_alone() -> None:
    whole = train_pairs(3, 5, start=0, count=12)
    parts = [train_pairs(3, 5, start=start, count=3) for start in range(0, 12, 3)]
    assert whole == [pair for part in parts for pair in part]
    assert whole != train_pairs(4, 5, start=0, count=12)


def test_any_other_clip_is_as_likely() -> None:
    drawn = Counter(another(0, number, 2, 5) for number in range(4000))
    assert set(drawn) == {0, 1, 3, 4}
    assert all(880 < count < 1120 for count in drawn.values())  # 1000 +- 4.4 standard deviations


def test_matched_frames_are_the_very_frames_of_the_clip() -> None:
    store, plan, recipe = make_store(), make_plan(crop=32), make_recipe()
    settings = {"plan": plan, "recipe": recipe, "seed": 1, "start": 4, "count": 6}
    batch = train_pair_batch(store, range(3, 12), frame_crop=32, **settings)
    same = [torch.equal(*views) for views in zip(batch.clips, batch.frames, strict=True)]
    assert same == [True, False] * 3 == [bool(value) for value in batch.matched]
    smaller = train_pair_batch(store, range(3, 12), frame_crop=24, **settings)
    assert torch.equal(smaller.clips, batch.clips)
    assert smaller.frames.shape == (6, plan.frames, 24, 24, 3)


def test_held_out_views_are_centres_in_order() -> None:
    store, plan = make_store(), make_plan(crop=32)
    recipe = make_recipe(test_views=1)
    clips, frames = centre_views(
        store, (5, 9, 2), plan=plan, frame_crop=32, recipe=recipe, start=1, count=2
    )
    # 40 x 44 pixels (odd clips): columns 2 to 42; 10 + 9 % 3 frames, starts 0 to 7, the middle 4.
    expected = torch.from_numpy(store.frames(9)[[4, 6], :, 2:42]).float().mean()
    assert abs(clips[0].float().mean() - expected) < 1
    assert torch.equal(clips, frames) and clips.shape == (2, 2, 32, 32, 3)
