"""A training in full, beside its steps: an average of its weights, validation, the best so far.

The average is exponential, as the papers have it: a step keeps the share `ema` of it. The searches'
in `training/averaged.py` is another one, whose length grows with the training and which nobody has
to choose; its numbers are not those of any share.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from expand3d.core.extras import PLAIN, Extras
from expand3d.core.genotype import Plan
from expand3d.core.recipe import Recipe
from expand3d.core.result import Interrupted
from expand3d.core.scores import means_of
from expand3d.data.store import ClipStore
from expand3d.networks.weights.kept import put_weights
from expand3d.training.batches import ClipBatch
from expand3d.training.beside import Log
from expand3d.training.checkpoint import save_weights
from expand3d.training.peers import ALONE, Peers
from expand3d.training.placement import Placement
from expand3d.training.precise_norm import precise_passes, reestimate
from expand3d.training.scoring import Scorer, score_clips
from expand3d.training.step import Pass

#: The average of weights begins quickly: after t steps a step keeps (1 + t) / (10 + t) at most.
WARM = 10


@dataclass(frozen=True)
class Full:
    """The ways of a training in full.

    After every `every` epochs, and after the last, the clips `val` are scored, a view each, and the
    best weights so far go to the file `best`. `keep_best` tests and keeps those in the end, in
    place of the last. `told` is given each row of the curve. `peers` are the processes that train
    together. `compiled` trains by torch.compile.
    """

    extras: Extras = PLAIN
    val: tuple[int, ...] = ()
    every: int = 1
    best: Path | None = None
    keep_best: bool = False
    log: Log | None = None
    told: Callable[[Mapping[str, float]], None] = lambda row: None
    peers: Peers = ALONE
    compiled: bool = False


class Labelled(Protocol):
    """A task of labelled clips, as `ClassifyTask`."""

    @property
    def plan(self) -> Plan: ...

    @property
    def store(self) -> ClipStore: ...

    @property
    def recipe(self) -> Recipe: ...

    @property
    def clips(self) -> int: ...

    @property
    def passes(self) -> int: ...

    def batch(self, number: int) -> ClipBatch: ...

    def forward(self, network: nn.Module, batch: ClipBatch, placement: Placement) -> Pass: ...


class Besides:
    """The `Beside` of a training in full."""

    def __init__(self, task: Labelled, placement: Placement, full: Full) -> None:
        self.task, self.placement, self.full = task, placement, full
        self._average: dict[str, Tensor] = {}
        self._steps = 0
        #: Top-1, log-loss and epoch of the best weights so far.
        self._best: dict[str, float] | None = None

    def begin(self, network: nn.Module) -> None:
        self._steps, self._best = 0, None
        if self.full.extras.ema:
            self._average = _copied(network.state_dict())

    @torch.no_grad()
    def stepped(self, network: nn.Module) -> None:
        self._steps += 1
        keeps = min(self.full.extras.ema, (1 + self._steps) / (WARM + self._steps))
        state = network.state_dict() if self._average else {}
        for name, average in self._average.items():
            if average.is_floating_point():
                average.lerp_(state[name], 1 - keeps)
            else:
                average.copy_(state[name])

    def epoch_ended(
        self, network: nn.Module, row: dict[str, float], stop: Callable[[], bool]
    ) -> None:
        epoch, recipe = round(row["epoch"]), self.task.recipe
        last = math.ceil(recipe.visits_for(self.task.clips) / self.task.clips)
        if self.full.val and (epoch % self.full.every == 0 or epoch == last):
            row |= self._validated(network, row["epoch"], stop)
        self.full.told(row)

    def _validated(
        self, network: nn.Module, epoch: float, stop: Callable[[], bool]
    ) -> dict[str, float]:
        kept = self._kept(network)

        def look(done: int, accuracy: float) -> None:
            if stop():
                raise Interrupted(f"stopped in the validation after epoch {epoch:g}")

        task, plan = self.task, self.task.plan
        recipe = dataclasses.replace(task.recipe, test_views=1, test_crops=1)
        scorer = Scorer(kept, self.placement, views=recipe.bn_batch, kinds=plan.kinds)
        workers = self.placement.loader_threads
        scores = score_clips(
            scorer,
            task.store,
            self.full.val,
            plan=plan,
            recipe=recipe,
            workers=workers,
            after_batch=look,
        )
        means = means_of(scores)
        assert means is not None, "there are clips"
        found = {"top1": means.top1, "nll": means.nll, "epoch": epoch}
        if self._best is None or _order(found) > _order(self._best):
            self._best = found
            if self.full.best is not None:
                save_weights(kept, self.full.best)
        return {"val_top1": means.top1, "val_nll": means.nll}

    def _kept(self, network: nn.Module) -> nn.Module:
        """A copy of the network as it would be kept now: averaged, its statistics taken anew."""
        kept = copy.deepcopy(network)
        if self._average:
            kept.load_state_dict(self._average)
        count, recipe = self.full.extras.precise_bn, self.task.recipe
        if recipe.smaller_first:  # the running ones may be of smaller clips
            count = count or precise_passes(recipe)
        if count:
            first = recipe.steps_for(self.task.clips) * self.task.passes
            batches = (self.task.batch(number) for number in range(first, first + count))

            def forward(module: nn.Module, batch: ClipBatch) -> Pass:
                return self.task.forward(module, batch, self.placement)

            reestimate(kept, batches, forward)
        return kept

    def finish(self, network: nn.Module) -> None:
        if self.full.keep_best and self.full.best is not None and self._best is not None:
            put_weights(network, self.full.best)
        elif self._average or self.full.extras.precise_bn:
            network.load_state_dict(self._kept(network).state_dict())

    @property
    def best(self) -> Mapping[str, float] | None:
        """Top-1, log-loss and epoch of the best weights by validation; None without any."""
        return self._best

    def state(self) -> dict[str, Any]:
        return {"average": self._average, "steps": self._steps, "best": self._best}

    def restore(self, state: dict[str, Any]) -> None:
        for name, value in self._average.items():
            value.copy_(state["average"][name])
        self._steps, self._best = state["steps"], state["best"]


def _order(found: Mapping[str, float]) -> tuple[float, float]:
    """Larger is better: top-1, then the log-loss; of equal ones the earlier stays."""
    return found["top1"], -found["nll"]


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}
