"""Speed and direction of playback told apart: weights from clips whose labels nobody reads.

A clip is played forward or backward, at its own speed or twice as fast, and the network says which
(the speed: SpeedNet, arXiv 2004.06130; the direction: arXiv 1803.07749 and before).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from expand3d.core.errors import ConfigError, DataError
from expand3d.core.genotype import Plan
from expand3d.data.frames import generator, visits
from expand3d.data.store import ClipStore
from expand3d.networks import get_family
from expand3d.training import checkpoint as checkpoints
from expand3d.training.batches import ClipBatch
from expand3d.training.placement import Placement
from expand3d.training.step import Pass, make_optimiser, parameter_groups
from expand3d.training.tasks.classify import classify
from expand3d.training.tasks.unlabelled import How, Learned, Unlabelled, facts, trained
from expand3d.training.views import Views, test_view, train_view


class Way(NamedTuple):
    """One way to play a clip: so many times as fast, and maybe backward."""

    speed: int
    backward: bool

    @property
    def name(self) -> str:
        return f"{'backward' if self.backward else 'forward'} at {self.speed}x"


#: The classes, in order.
WAYS = tuple(Way(speed, backward) for speed in (1, 2) for backward in (False, True))
FASTEST = max(way.speed for way in WAYS)


class PlaybackScores(NamedTuple):
    """The count of held-out views that were told apart: each clip is played in every way."""

    views: int
    accuracy: float
    chance: float
    nll: float


@dataclass(frozen=True)
class PlaybackTask(Unlabelled):
    """A network of as many classes as there are ways to play a clip, and the clips."""

    @property
    def test_views(self) -> int:
        return len(self.held_out) * len(WAYS)

    def build(self) -> nn.Module:
        return get_family(self.plan.family).build(self.plan, dropout=self.recipe.dropout)

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        return make_optimiser(parameter_groups(network, self.recipe.weight_decay), self.recipe)

    def batch(self, number: int) -> ClipBatch:
        size = self.recipe.batch
        views, labels = [], []
        for epoch, position in visits(self.seed, len(self.train), start=number * size, count=size):
            index = self.train[position]
            draw = generator("playback", self.seed, epoch, self.store.keys[index])
            label = int(draw.integers(len(WAYS)))
            played = train_view(
                self.store,
                index,
                plan=sped_up(self.plan, WAYS[label].speed),
                recipe=self.recipe,
                seed=self.seed,
                epoch=epoch,
            )
            views.append(_turned(played, WAYS[label]))
            labels.append(label)
        return _stacked(views, labels)

    def forward(self, network: nn.Module, batch: ClipBatch, placement: Placement) -> Pass:
        return classify(
            network, batch, kinds=self.plan.kinds, recipe=self.recipe, placement=placement
        )

    def test(
        self,
        network: nn.Module,
        placement: Placement,
        *,
        tell: Callable[[int, float], None],
        notes: list[str],
    ) -> PlaybackScores:
        right, loss, done = 0, 0.0, 0
        for index in self.held_out:
            views = [_turned(self._centre(index, way.speed), way) for way in WAYS]
            batch = _stacked(views, range(len(WAYS)))
            with torch.inference_mode(), placement.autocast():
                logits = network(*placement.inputs(batch.views, self.plan.kinds)).float().cpu()
            loss += float(cross_entropy(logits, batch.labels, reduction="sum"))
            right += int((logits.argmax(dim=1) == batch.labels).sum())
            done += len(WAYS)
            tell(done, right / done)
        return PlaybackScores(done, right / done, 1 / len(WAYS), loss / done)

    def _centre(self, index: int, speed: int) -> Views:
        plan = sped_up(self.plan, speed)
        return test_view(self.store, index, plan=plan, recipe=self.recipe, moment=0, place=0)


def sped_up(plan: Plan, speed: int) -> Plan:
    """A plan that reads the same frames `speed` times as far apart."""
    return dataclasses.replace(plan, stride=plan.stride * speed)


def refuse_still(plan: Plan) -> None:
    """ConfigError where a network does not read one stretch of moving pictures."""
    alone = all(each.kind == "rgb" and each.segments == 1 for each in plan.inputs)
    if not alone or plan.frames < 2 or sped_up(plan, 2).inputs == plan.inputs:
        raise ConfigError(
            f"playback is learned by a network that reads two or more frames of pixels in a row; "
            f"this one of {plan.family} reads {plan.frames}; for X3D --set gamma_t=8 makes them 8"
        )


def long_enough(plan: Plan, store: ClipStore, indices: tuple[int, ...]) -> tuple[int, ...]:
    """The clips that last as long as the fastest view: a picture held at the end would tell it."""
    span = (plan.frames - 1) * plan.stride * FASTEST + 1
    return tuple(index for index in indices if store.frames(index).shape[0] * store.every >= span)


def _turned(views_NTHWC: Views, way: Way) -> Views:
    """The inputs of one clip, T x H x W x C, as they are played."""
    return tuple(view.flip(0) if way.backward else view for view in views_NTHWC)


def _stacked(views: Any, labels: Any) -> ClipBatch:
    inputs = tuple(torch.stack(parts) for parts in zip(*views, strict=True))
    return ClipBatch(inputs, torch.tensor(list(labels)))


def learn_playback(
    task: PlaybackTask, *, weights_out: Path, **how: Unpack[How]
) -> Learned[PlaybackScores]:
    """The accuracy at telling held-out clips apart; the network's weights are in `weights_out`.

    Interrupted where `stop` says so; the same call then goes on from the checkpoint, bit for bit.
    """
    if not task.train or not task.held_out:
        raise DataError(
            "playback is learned from clips and tested on others that last long enough for twice "
            "the speed; a part holds none"
        )
    with trained(task, **how) as (run, scores):
        checkpoints.save_weights(run.network, weights_out)
        return Learned(scores, **facts(run))
