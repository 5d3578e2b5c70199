"""Views of clips that keep every so many-th frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from expand3d.training.views import test_view as view_to_test
from expand3d.training.views import train_view
from tests.helpers.train_toys import ArrayStore, make_plan


@pytest.fixture
def numbered() -> ArrayStore:
    """One clip of 61 frames, each of the level of its number."""
    clip = np.broadcast_to(np.arange(61, dtype=np.uint8)[:, None, None, None], (61, 40, 44, 3))
    return ArrayStore([clip], [0], ["clip"], [None])


def sparse(store: ArrayStore, every: int) -> ArrayStore:
    return dataclasses.replace(store, clips=[clip[::every] for clip in store.clips], every=every)


def levels(views: Any) -> list[int]:
    (view,) = views
    return [int(frame.float().mean().round()) for frame in view]


def test_frames_are_as_far_apart_as_the_network_says(numbered: ArrayStore, recipe: Any) -> None:
    plan = make_plan(frames=4, stride=12)
    for every in (1, 2, 4):
        store = sparse(numbered, every)
        found = {
            tuple(levels(train_view(store, 0, plan=plan, recipe=recipe, seed=0, epoch=epoch)))
            for epoch in range(60)
        }
        # A view spans 37 frames: it may begin at 0 to 24.
        assert all(np.diff(view).tolist() == [12] * 3 for view in found)
        assert {view[0] % every for view in found} == {0}
        assert min(found)[0] < 4 and 20 < max(found)[0] <= 24


def test_a_view_in_the_middle_stays_there(numbered: ArrayStore, recipe: Any) -> None:
    one = dataclasses.replace(recipe, test_views=1, test_crops=1)
    for plan, first in ((make_plan(frames=2, stride=14), 23), (make_plan(frames=1, stride=1), 30)):
        for every in (1, 2):
            middle = levels(
                view_to_test(sparse(numbered, every), 0, plan=plan, recipe=one, moment=0, place=0)
            )
            # Starts are 0 to 46, and 0 to 60; of every second frame, 0, 2, ... 46 and 60.
            assert abs(middle[0] - first) <= every
            assert middle == [middle[0] + 14 * k for k in range(plan.frames)]


def test_what_a_sparse_clip_lacks_is_never_read(numbered: ArrayStore, recipe: Any) -> None:
    with pytest.raises(AssertionError, match="frames between"):
        plan = make_plan(frames=4, stride=5)
        train_view(sparse(numbered, 2), 0, plan=plan, recipe=recipe, seed=0, epoch=0)
