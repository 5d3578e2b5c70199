"""Batches of views, made ahead of their use by background threads that hold no state."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from expand3d.core.extras import PLAIN, Extras
from expand3d.core.genotype import Plan
from expand3d.core.recipe import Recipe
from expand3d.data import frames as sampling
from expand3d.data.store import ClipStore
from expand3d.training.views import Views, test_view, train_view

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


class ClipBatch(NamedTuple):
    """Views of N clips, uint8 N x T x H x W x C for each input, and their N labels (int64).

    `share` is what of each clip and its label stays where they are mixed with those at the other
    end of the batch; 1 mixes nothing.
    """

    views: Views
    labels: Tensor
    share: float = 1.0


def train_batch(
    store: ClipStore,
    indices: Sequence[int],
    *,
    plan: Plan,
    recipe: Recipe,
    seed: int,
    start: int,
    count: int,
    extras: Extras = PLAIN,
) -> ClipBatch:
    """The `count` training views from clip visit number `start` on."""
    if extras.balance == "resample":
        labels = [store.labels[index] for index in indices]
        chosen = sampling.balanced_visits(seed, labels, start=start, count=count)
    else:
        chosen = sampling.visits(seed, len(indices), start=start, count=count)
    views = [
        train_view(store, indices[place], plan=plan, recipe=recipe, seed=seed, epoch=epoch)
        for epoch, place in chosen
    ]
    if extras.rand_augment:
        keys = [("rand augment", seed, epoch, store.keys[indices[at]]) for epoch, at in chosen]
        views = [_augmented(*pair, extras) for pair in zip(views, keys, strict=True)]
    batch = _stacked(views, [store.labels[indices[visit.position]] for visit in chosen])
    if not extras.mixup:
        return batch
    drawn = float(sampling.generator("mixup", seed, start).beta(extras.mixup, extras.mixup))
    # Of each pair both mixtures are in the batch, so that the larger share can stand first.
    return batch._replace(share=max(drawn, 1 - drawn))


def _augmented(view: Views, key: Sequence[Any], extras: Extras) -> Views:
    """The inputs of a visit, all through the operations that `key` draws."""
    from expand3d.training.rand_augment import rand_augment

    count, magnitude = extras.rand_augment, extras.rand_magnitude
    return tuple(
        rand_augment(each, count=count, magnitude=magnitude, draws=sampling.generator(*key))
        for each in view
    )


def test_batch(
    store: ClipStore, indices: Sequence[int], *, plan: Plan, recipe: Recipe, start: int, count: int
) -> ClipBatch:
    """The `count` test views from number `start` on; a clip's views stand together.

    Within a clip the crops of one moment stand together.
    """
    per_clip = recipe.test_views * recipe.test_crops
    views, labels = [], []
    for number in range(start, start + count):
        index = indices[number // per_clip]
        moment, place = divmod(number % per_clip, recipe.test_crops)
        views.append(test_view(store, index, plan=plan, recipe=recipe, moment=moment, place=place))
        labels.append(store.labels[index])
    return _stacked(views, labels)


def _stacked(views: Sequence[Views], labels: Sequence[int]) -> ClipBatch:
    import torch

    inputs = tuple(torch.stack(parts) for parts in zip(*views, strict=True))
    return ClipBatch(inputs, torch.tensor(labels))


def ahead(make: Callable[[int], T], numbers: Iterable[int], *, workers: int) -> Generator[T]:
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
