"""A network as a runtime gets it: one module from a batch of each input to logits."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from expand3d.data.crops import normalise
from expand3d.networks.example import example, example_views

if TYPE_CHECKING:
    from expand3d.core.genotype import Plan

#: Clips of the example from which a graph is made; of one clip the batch would be fixed at 1.
EXAMPLE = 2


class Runnable(nn.Module):
    """The network, behind the normalisation of its inputs where `pixels` is set.

    It reads an argument for each of the plan's inputs: floats N x C x T x H x W, or with `pixels`
    bytes N x T x H x W x C, as videos are decoded.
    """

    def __init__(self, network: nn.Module, plan: Plan, *, pixels: bool) -> None:
        super().__init__()
        self.network = network.eval()
        self.plan, self.pixels = plan, pixels

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.pixels:
            kinds = self.plan.kinds
            inputs = tuple(normalise(view, kind) for view, kind in zip(inputs, kinds, strict=True))
        logits: Tensor = self.network(*inputs)
        return logits

    def clips(self, number: int, *, seed: int = 0) -> tuple[Tensor, ...]:
        """A random batch of `number` clips for each input; other seeds give other ones."""
        if not self.pixels:
            made = example(self.plan, number + seed)
        else:
            made = example_views(self.plan, number + seed)
        return tuple(batch[seed:].contiguous() for batch in made)

    @property
    def batches(self) -> tuple[tuple[dict[int, torch.export.Dim], ...]]:
        """The dynamic batch of every input, as `torch.export` asks for it."""
        batch = torch.export.Dim("batch")
        return (tuple({0: batch} for _ in self.plan.inputs),)


def input_names(plan: Plan) -> list[str]:
    """A name for each input: `clip` where there is one, else its kind, with a number if need be."""
    if len(plan.inputs) == 1:
        return ["clip"]
    kinds = [kind.replace("-", "_") for kind in plan.kinds]
    repeated = {kind for kind, times in Counter(kinds).items() if times > 1}
    return [
        f"{kind}{kinds[:place].count(kind)}" if kind in repeated else kind
        for place, kind in enumerate(kinds)
    ]
