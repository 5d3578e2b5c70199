"""Pairs of a clip and frames, half of them of the same video and time, half of two videos.

Both halves of a pair are views as trainings see them, each a function of (seed, epoch, clip): the
frames of a matched pair are the very frames of the clip, at the size that their reader wants.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from expand3d.core.genotype import Plan
from expand3d.core.recipe import Recipe
from expand3d.data.frames import generator, visits
from expand3d.data.store import ClipStore
from expand3d.training.batches import test_batch
from expand3d.training.views import train_view


class Pair(NamedTuple):
    """Places among the training clips: whose clip is shown, and whose frames beside it."""

    epoch: int
    clip: int
    frames: int

    @property
    def matched(self) -> bool:
        return self.clip == self.frames


class PairBatch(NamedTuple):
    """Clips and frames, uint8 N x T x H x W x 3 at two sizes, and whether they match (float N)."""

    clips: Tensor
    frames: Tensor
    matched: Tensor


def train_pairs(seed: int, clips: int, *, start: int, count: int) -> list[Pair]:
    """The pairs of visits number `start` to `start + count`; those of odd number do not match."""
    return [
        Pair(
            visit.epoch,
            visit.position,
            another(seed, number, visit.position, clips) if number % 2 else visit.position,
        )
        for number, visit in enumerate(visits(seed, clips, start=start, count=count), start)
    ]


def another(seed: int, number: int, place: int, clips: int) -> int:
    """Any of `clips` places but `place`, drawn for pair `number`."""
    return (place + 1 + int(generator("pair", seed, number).integers(clips - 1))) % clips


def train_pair_batch(
    store: ClipStore,
    indices: Sequence[int],
    *,
    plan: Plan,
    frame_crop: int,
    recipe: Recipe,
    seed: int,
    start: int,
    count: int,
) -> PairBatch:
    """The `count` training pairs from visit number `start` on; frames at `frame_crop` pixels."""
    of_frames = dataclasses.replace(plan, crop=frame_crop)
    clips, frames, matched = [], [], []
    for pair in train_pairs(seed, len(indices), start=start, count=count):
        view = partial(train_view, store, recipe=recipe, seed=seed, epoch=pair.epoch)
        clips.append(view(indices[pair.clip], plan=plan)[0])
        frames.append(view(indices[pair.frames], plan=of_frames)[0])
        matched.append(float(pair.matched))
    return PairBatch(torch.stack(clips), torch.stack(frames), torch.tensor(matched))


def centre_views(
    store: ClipStore,
    indices: Sequence[int],
    *,
    plan: Plan,
    frame_crop: int,
    recipe: Recipe,
    start: int,
    count: int,
) -> tuple[Tensor, Tensor]:
    """The centre views of `count` clips as a clip's reader and as a frames' reader see them."""
    of_frames = dataclasses.replace(plan, crop=frame_crop)
    batch = partial(test_batch, store, indices, recipe=recipe, start=start, count=count)
    return batch(plan=plan).views[0], batch(plan=of_frames).views[0]
