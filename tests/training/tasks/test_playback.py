"""The playing of clips: what the network sees and is asked, the test, and an exact resume."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from expand3d.core.errors import ConfigError, DataError
from expand3d.core.recipe import Recipe
from expand3d.core.result import Interrupted
from expand3d.networks import get_family
from expand3d.training.placement import place
from expand3d.training.tasks.playback import (
    PlaybackTask,
    learn_playback,
    long_enough,
    refuse_still,
)
from tests.helpers.moving import Moving

X3D = get_family("x3d")
SIDE = 32
RECIPE = Recipe("playback", 64, None, batch=8, bn_batch=8, lr=0.05, test_views=1)
#: Speed and direction of each class, as the docs say: the step from one picture to the next.
STEPS = (1, -1, 2, -2)


def plan_of(frames: int = 4) -> Any:
    genotype = X3D.base.replace(gamma_t=frames, gamma_s=SIDE / 112, gamma_w=0.5)
    return X3D.resolve(genotype, num_classes=4)


def numbered(count: int, length: int = 12) -> Moving:
    """Clips in which every pixel of frame t has the value 10 t."""
    frames = 10 * np.arange(length, dtype=np.uint8)
    clip = np.broadcast_to(frames[:, None, None, None], (length, SIDE, SIDE, 3)).copy()
    return Moving([clip + np.uint8(n % 2) for n in range(count)])


def task_of(clips: int = 12, **fields: Any) -> PlaybackTask:
    store: Any = numbered(clips)
    recipe = dataclasses.replace(RECIPE, **fields)
    return PlaybackTask(plan_of(), store, tuple(range(8)), tuple(range(8, clips)), recipe, 3)


def test_each_view_is_played_as_its_class_says() -> None:
    task, seen = task_of(), Counter[int]()
    for number in range(12):
        batch = task.batch(number)
        (views,) = batch.views
        assert views.shape == (8, 4, SIDE, SIDE, 3)
        for view, label in zip(views, batch.labels.tolist(), strict=True):
            times = (view[:, 0, 0, 0].int() // 10).tolist()
            assert np.diff(times).tolist() == [STEPS[label]] * 3
            seen[label] += 1
    assert min(seen.values()) > 10 and len(seen) == 4
    assert torch.equal(task.batch(5).views[0], task_of().batch(5).views[0])


class Knows(nn.Module):
    """Tells how a view is played from the values of its pixels; of twice the speed it is unsure."""

    def forward(self, clip_NCTHW: torch.Tensor) -> torch.Tensor:
        step = clip_NCTHW[:, 0, 1, 0, 0] - clip_NCTHW[:, 0, 0, 0, 0]
        backward = (step < 0).long()
        return 20.0 * nn.functional.one_hot(backward, 4).float()


def test_every_held_out_clip_is_tested_in_every_way() -> None:
    task, told = task_of(), []
    scores = task.test(
        Knows(), place(RECIPE, threads=1), tell=lambda n, a: told.append((n, a)), notes=[]
    )
    assert told == [(4, 0.5), (8, 0.5), (12, 0.5), (16, 0.5)]
    assert (scores.views, scores.accuracy, scores.chance) == (16, 0.5, 0.25)
    assert scores.nll == pytest.approx((0 + 20) / 2, abs=1e-4)


def test_labels_are_never_read() -> None:
    store: Any = numbered(12)
    del store.labels
    task = dataclasses.replace(task_of(), store=store)
    assert task.batch(0).labels.max() < 4 and task.belongs()


def test_clips_in_which_the_fastest_view_would_hold_a_picture_are_left_out() -> None:
    """Four frames at twice the speed span seven."""
    store: Any = Moving([np.zeros((length, 8, 8, 3), np.uint8) for length in (6, 7, 8)])
    assert long_enough(plan_of(4), store, (0, 1, 2)) == (1, 2)


def test_a_network_of_one_frame_is_refused() -> None:
    refuse_still(plan_of(2))
    with pytest.raises(ConfigError, match=r"two or more frames .* reads 1"):
        refuse_still(plan_of(1))
    base = get_family("twostream").base
    with pytest.raises(ConfigError, match="frames of pixels in a row"):
        refuse_still(get_family("twostream").resolve(base, num_classes=4))


def test_stopped_and_resumed_it_learns_the_same_bits(tmp_path: Path) -> None:
    def files(name: str) -> dict[str, Path]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return {"weights_out": folder / "w", "log": folder / "l", "checkpoint": folder / "c"}

    whole = learn_playback(task_of(10, clip_visits=16), **files("whole"), threads=1)
    assert whole.clip_visits == 16 and whole.scores.views == 8
    left = iter(range(1))
    with pytest.raises(Interrupted):
        learn_playback(
            task_of(10, clip_visits=16),
            **files("cut"),
            threads=1,
            stop=lambda: next(left, None) is None,
        )
    assert (tmp_path / "cut" / "c").exists()
    again = learn_playback(task_of(10, clip_visits=16), **files("cut"), threads=1)
    assert again.scores == whole.scores
    for name in ("w", "l"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    task = dataclasses.replace(task_of(), train=())
    with pytest.raises(DataError, match="a part holds none"):
        learn_playback(task, weights_out=tmp_path, log=tmp_path, checkpoint=tmp_path)
