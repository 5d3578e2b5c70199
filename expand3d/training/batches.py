"""Batches of views, made ahead of their use by background threads that hold no state."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from expand3d.core.genotype import Plan
from expand3d.core.recipe import Recipe
from expand3d.data import crops as augment
from expand3d.data import frames as sampling
from expand3d.data.store import ClipStore

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


class ClipBatch(NamedTuple):
    """Views as uint8 N x T x H x W x 3 and their N labels (int64)."""

    views: Tensor
    labels: Tensor


def train_view(
    store: ClipStore, index: int, *, plan: Plan, recipe: Recipe, seed: int, epoch: int
) -> Tensor:
    """A random view of clip `index`, uint8 T x H x W x 3; random in (seed, epoch, clip) alone."""
    clip = store.frames(index)
    length, height, width = clip.shape[:3]
    # Always five draws in this order: networks with other clips and crops share their luck.
    start, *rest = sampling.generator("view", seed, epoch, store.keys[index]).random(5)
    first = sampling.train_start(length, plan.frames, plan.stride, start)
    frames = sampling.frame_indices(length, first, plan.frames, plan.stride)
    region = augment.train_region(
        height, width, crop=plan.crop, jitter=recipe.jitter, flip=recipe.flip, uniforms=rest
    )
    return augment.read(clip, frames, region, plan.crop)


def train_batch(
    store: ClipStore,
    indices: Sequence[int],
    *,
    plan: Plan,
    recipe: Recipe,
    seed: int,
    start: int,
    count: int,
) -> ClipBatch:
    """The `count` training views from clip visit number `start` on."""
    import torch

    chosen = sampling.visits(seed, len(indices), start=start, count=count)
    views = [
        train_view(store, indices[place], plan=plan, recipe=recipe, seed=seed, epoch=epoch)
        for epoch, place in chosen
    ]
    labels = [store.labels[indices[visit.position]] for visit in chosen]
    return ClipBatch(torch.stack(views), torch.tensor(labels))


def test_batch(
    store: ClipStore, indices: Sequence[int], *, plan: Plan, recipe: Recipe, start: int, count: int
) -> ClipBatch:
    """The `count` test views from number `start` on; a clip's views stand together.

    Within a clip the crops of one moment stand together.
    """
    import torch

    per_clip = recipe.test_views * recipe.test_crops
    side = augment.test_crop(plan.crop, recipe.test_crops)
    views, labels = [], []
    for number in range(start, start + count):
        index = indices[number // per_clip]
        moment, place = divmod(number % per_clip, recipe.test_crops)
        clip = store.frames(index)
        length, height, width = clip.shape[:3]
        first = sampling.test_starts(length, plan.frames, plan.stride, recipe.test_views)[moment]
        frames = sampling.frame_indices(length, first, plan.frames, plan.stride)
        region = augment.test_regions(height, width, recipe.test_crops)[place]
        views.append(augment.read(clip, frames, region, side))
        labels.append(store.labels[index])
    return ClipBatch(torch.stack(views), torch.tensor(labels))


def ahead(make: Callable[[int], T], numbers: range, *, workers: int) -> Generator[T]:
    """`make(number)` for each number in order, with up to `workers` + 1 of them made ahead.

    Each thread keeps to one core. If it had a team of threads for torch's operators, there would be
    more threads than cores, and OpenMP would put the training's to sleep after each operator.
    """
    import torch

    with ThreadPoolExecutor(
        workers, "clips", initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for number in numbers:
                waiting.append(pool.submit(make, number))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
