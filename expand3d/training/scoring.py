"""Scores of a trained network on clips, each seen in views uniform in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from expand3d.core.genotype import Plan
from expand3d.core.inputs import RGB
from expand3d.core.recipe import Recipe
from expand3d.core.result import ClipScore
from expand3d.data.store import ClipStore
from expand3d.training.batches import ClipBatch, ahead, test_batch
from expand3d.training.placement import Placement
from expand3d.training.step import Ended, is_out_of_memory
from expand3d.training.views import Views

#: The least probability of the true class that a log-loss is taken of.
LEAST_PROBABILITY = 1e-12


def clip_score(
    probabilities: NDArray[np.floating], *, key: str, label: int, group: str | None = None
) -> ClipScore:
    """The score of one clip from its class probabilities; ties count against the true class."""
    true = probabilities[label]
    rank = int((probabilities >= true).sum()) - 1
    nll = -math.log(max(float(true), LEAST_PROBABILITY))
    predicted = label if rank == 0 else _best_but(probabilities, label)
    return ClipScore(key, label, rank, nll, group, predicted)


def _best_but(probabilities: NDArray[np.floating], label: int) -> int:
    """The most probable class that is another; of equal ones the first."""
    others = np.array(probabilities, dtype=float)
    others[label] = -1
    return int(others.argmax())


class Scorer:
    """Softmax of a network in eval mode, in batches that shrink when memory runs out."""

    def __init__(
        self,
        model: nn.Module,
        placement: Placement,
        *,
        views: int,
        kinds: Sequence[str] = (RGB,),
    ) -> None:
        self.notes: list[str] = []
        self._kinds = kinds
        self._model = model.eval()
        self._placement = placement
        self._views = views

    def probabilities(self, views: Views) -> Tensor:
        """N x classes (float64 on the CPU) for N views; each view by itself."""
        while True:
            try:
                with torch.inference_mode():
                    pieces = zip(*(each.split(self._views) for each in views), strict=True)
                    parts = [self._softmax(piece) for piece in pieces]
                return torch.cat(parts)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or self._views == 1:
                    raise
            self._views = max(1, self._views // 2)
            self.notes.append(
                f"out of memory in testing: continued with {self._views} views a pass"
            )
            if self._placement.on_gpu:
                torch.cuda.empty_cache()

    def _softmax(self, views: Views) -> Tensor:
        with self._placement.autocast():
            logits = self._model(*self._placement.inputs(views, self._kinds))
        return logits.float().softmax(dim=1).double().cpu()


def score_clips(
    scorer: Scorer,
    store: ClipStore,
    indices: Sequence[int],
    *,
    plan: Plan,
    recipe: Recipe,
    workers: int = 1,
    after_batch: Callable[[int, float], None] = lambda done, accuracy: None,
) -> tuple[ClipScore, ...]:
    """The score of each clip in order, its softmax averaged over test_views x test_crops views.

    `after_batch` is told the views done and the accuracy over the clips so far. Ended where
    the network's output is not finite.
    """
    if not indices:
        return ()
    per_clip = recipe.test_views * recipe.test_crops
    total, size = per_clip * len(indices), recipe.bn_batch
    pending = np.empty((0, 0))
    scores: list[ClipScore] = []

    def make(start: int) -> ClipBatch:
        count = min(size, total - start)
        return test_batch(store, indices, plan=plan, recipe=recipe, start=start, count=count)

    with closing(ahead(make, range(0, total, size), workers=workers)) as batches:
        done = 0
        for batch in batches:
            fresh = scorer.probabilities(batch.views).numpy()
            if not np.isfinite(fresh).all():
                raise Ended("diverged", "the trained network's output is not finite")
            pending = np.concatenate([pending, fresh]) if len(pending) else fresh
            while len(pending) >= per_clip:
                index = indices[len(scores)]
                scores.append(
                    clip_score(
                        pending[:per_clip].mean(axis=0),
                        key=store.keys[index],
                        label=store.labels[index],
                        group=store.groups[index],
                    )
                )
                pending = pending[per_clip:]
            done += len(fresh)
            right = sum(score.rank == 0 for score in scores)
            after_batch(done, right / max(1, len(scores)))
    return tuple(scores)
