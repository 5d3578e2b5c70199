"""The class probabilities of each stream of a network, beside those of all together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from expand3d.core.genotype import Plan
from expand3d.core.recipe import Recipe
from expand3d.data.store import ClipStore
from expand3d.networks.layers.stream_modules import Fused, Streams
from expand3d.training.batches import ClipBatch, ahead, test_batch
from expand3d.training.placement import Placement
from expand3d.training.scoring import Scorer

#: The name of the whole network among its streams.
ALL = "all"


class Apart(nn.Module):
    """The answers of a network's streams and of the whole, as rows that follow each other.

    Of N clips it returns N x S rows of class scores, S of each clip: those of `names`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    def names(self) -> tuple[str, ...]:
        """The streams, and ALL in the end; ALL alone where the network has one."""
        network = self.network
        several = isinstance(network, Streams | Fused) and len(network.names) > 1
        return (*cast(Streams, network).names, ALL) if several else (ALL,)

    def forward(self, *inputs: Tensor) -> Tensor:
        if len(self.names) == 1:
            return cast(Tensor, self.network(*inputs))
        network = cast(Streams, self.network)
        each = network.each(*inputs)
        rows_NSC = torch.stack([*(part.float() for part in each), network.together(each)], dim=1)
        return rows_NSC.flatten(0, 1)


def stream_probabilities(
    network: nn.Module,
    placement: Placement,
    store: ClipStore,
    indices: Sequence[int],
    *,
    plan: Plan,
    recipe: Recipe,
    tell: Callable[[int], None] = lambda done: None,
) -> dict[str, NDArray[np.float64]]:
    """Clips x classes by stream and for ALL, averaged over test_views x test_crops views.

    `tell` is told the clips done, and may raise.
    """
    apart = Apart(network)
    scorer = Scorer(apart, placement, views=recipe.bn_batch, kinds=plan.kinds)
    names = apart.names
    per_clip = recipe.test_views * recipe.test_crops
    total, size = per_clip * len(indices), recipe.bn_batch
    rows = []

    def make(start: int) -> ClipBatch:
        count = min(size, total - start)
        return test_batch(store, indices, plan=plan, recipe=recipe, start=start, count=count)

    numbers = range(0, total, size)
    with closing(ahead(make, numbers, workers=placement.loader_threads)) as batches:
        for start, batch in zip(numbers, batches, strict=True):
            rows.append(scorer.probabilities(batch.views).numpy())
            tell(min(start + size, total) // per_clip)
    views = np.concatenate(rows).reshape(len(indices), per_clip, len(names), -1)
    means = views.mean(axis=1)
    return {name: means[:, place] for place, name in enumerate(names)}
