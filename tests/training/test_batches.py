"""Views depend on (seed, epoch, clip) alone, and batches arrive in order."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest
import torch

from expand3d.training import batches as loader
from expand3d.training.views import train_view
from tests.helpers.train_toys import make_plan


def test_a_training_view_does_not_depend_on_order_or_on_other_clips(
    store: Any, plan: Any, recipe: Any
) -> None:
    def view(index: int, *, epoch: int = 1, seed: int = 0, data: Any = store) -> torch.Tensor:
        (view,) = train_view(data, index, plan=plan, recipe=recipe, seed=seed, epoch=epoch)
        return view

    first = view(5)
    view(6)
    alone = dataclasses.replace(
        store, clips=store.clips[5:6], labels=[1], keys=store.keys[5:6], groups=[None]
    )
    assert torch.equal(view(5), first)
    assert torch.equal(view(0, data=alone), first)
    assert not torch.equal(view(5, epoch=2), first)
    assert not torch.equal(view(5, seed=1), first)


def test_a_batch_is_the_views_of_its_visits(store: Any, plan: Any, recipe: Any) -> None:
    indices = [2, 3, 8, 9, 10]
    common = {"plan": plan, "recipe": recipe, "seed": 0}
    whole = loader.train_batch(store, indices, start=0, count=10, **common)
    (views,) = whole.views
    assert views.shape == (10, 2, 32, 32, 3) and views.dtype == torch.uint8
    late = loader.train_batch(store, indices, start=6, count=4, **common)
    assert torch.equal(late.views[0], views[6:])
    assert late.labels.tolist() == whole.labels[6:].tolist()
    assert sorted(whole.labels[:5].tolist()) == sorted(store.labels[i] for i in indices)


def test_test_batches_hold_a_clips_views_together(store: Any, recipe: Any) -> None:
    plan = make_plan(frames=1, stride=1)
    recipe = dataclasses.replace(recipe, test_views=2, test_crops=3)
    batch = loader.test_batch(store, [4, 7], plan=plan, recipe=recipe, start=5, count=2)
    # 32 * 128 / 112 = 36.57: 36 pixels. View 5 is clip 4's last; view 6 clip 7's first.
    assert batch.views[0].shape == (2, 1, 36, 36, 3)
    assert batch.labels.tolist() == [store.labels[4], store.labels[7]]


def test_batches_made_ahead_keep_their_order_and_number() -> None:
    made: list[int] = []
    gate = threading.Semaphore(100)

    def make(number: int) -> int:
        gate.acquire()
        made.append(number)
        return number * number

    batches = loader.ahead(make, range(20), workers=3)
    assert next(batches) == 0
    batches.close()
    assert len(made) <= 5  # one handed out, and no more than workers + 1 beside it
    assert list(loader.ahead(make, range(7), workers=2)) == [0, 1, 4, 9, 16, 25, 36]
    assert list(loader.ahead(make, range(0), workers=2)) == []


def test_an_error_while_reading_reaches_the_training() -> None:
    def make(number: int) -> int:
        if number == 3:
            raise OSError("disk gone")
        return number

    batches = loader.ahead(make, range(9), workers=1)
    assert [next(batches) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="disk gone"):
        next(batches)
