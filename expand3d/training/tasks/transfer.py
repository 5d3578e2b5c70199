"""Supervision transfer from a 2D network to a 3D one (arXiv 1711.08200, section 3.3).

A frozen teacher reads frames, the student a clip; their pooled features side by side pass 512 and
128 units to one answer: same video and time, or not. Only the student and those units learn, and
no label is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Optimizer

from expand3d.core.errors import DataError, WeightsError
from expand3d.data import crops as augment
from expand3d.networks import get_family
from expand3d.training import checkpoint as checkpoints
from expand3d.training.placement import Placement
from expand3d.training.step import Pass, make_optimiser, parameter_groups
from expand3d.training.tasks.pairs import PairBatch, another, centre_views, train_pair_batch
from expand3d.training.tasks.unlabelled import How, Unlabelled, facts, trained

#: Units between the features and the answer.
HIDDEN = (512, 128)


@dataclass(frozen=True)
class Teacher:
    """A frozen network whose classifier was taken off: it reads single frames of `crop` pixels.

    `width` is the number of its features, `sha` names its weights. `mean` and `std` are per
    channel, of pixels in [0, 1].
    """

    network: nn.Module
    width: int
    crop: int
    sha: str
    mean: tuple[float, ...] = (augment.MEAN,) * 3
    std: tuple[float, ...] = (augment.STD,) * 3

    def features(self, frames_NTHWC: Tensor, placement: Placement) -> Tensor:
        """Float N x width: the mean over the T frames of uint8 N x T x H x W x 3."""
        images_NCTHW = placement.input(frames_NTHWC.flatten(0, 1).unsqueeze(1))  # T is 1
        mean, std = (
            torch.tensor(values, device=images_NCTHW.device).view(1, 3, 1, 1, 1)
            for values in (self.mean, self.std)
        )
        with torch.no_grad():
            found = self.network((images_NCTHW * augment.STD + augment.MEAN - mean) / std)
        return found.float().view(*frames_NTHWC.shape[:2], -1).mean(dim=1)


class PairScores(NamedTuple):
    """Accuracy and loss on `pairs` held-out pairs; half of them match, so chance is 0.5."""

    pairs: int
    accuracy: float
    loss: float


@dataclass(frozen=True)
class Transferred:
    """The held-out pairs' number, accuracy and loss in nats, and what the transfer took."""

    pairs: int
    accuracy: float
    loss: float
    clip_visits: int
    environment: Mapping[str, Any]
    notes: tuple[str, ...]


def without_classifier(network: nn.Module) -> tuple[nn.Module, str, nn.Linear]:
    """`network` giving what its last linear layer reads, that layer's name, and the layer."""
    linear = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Linear)]
    if not linear:
        raise WeightsError(f"{type(network).__name__} has no linear classifier to take features of")
    name, layer = linear[-1]
    network.set_submodule(name, nn.Identity())
    return network, name, layer


class Pairing(nn.Module):
    """The network that learns: the student without its classifier, and the head that answers.

    The classifier is kept as it was initialised, outside what is trained and saved.
    """

    def __init__(self, student: nn.Module, *, teacher_width: int) -> None:
        super().__init__()
        self.student, name, classifier = without_classifier(student)
        layers: list[nn.Module] = []
        width = classifier.in_features + teacher_width
        for units in HIDDEN:
            layers += [nn.Linear(width, units), nn.ReLU()]
            width = units
        self.head = nn.Sequential(*layers, nn.Linear(width, 1))
        self._kept = (name, classifier)  # in a tuple torch does not see it

    def forward(self, of_clips: Tensor, of_frames: Tensor) -> Tensor:
        """Above 0 where a clip and frames are taken for one video and time; from their features."""
        return self.head(torch.cat([of_clips, of_frames], dim=1)).squeeze(1).float()

    def whole_student(self) -> nn.Module:
        """The student with its classifier again."""
        self.student.set_submodule(*self._kept)
        return self.student


@dataclass(frozen=True)
class TransferTask(Unlabelled):
    """A teacher, a student and their clips: all that the result of a transfer depends on."""

    teacher: Teacher

    def belongs(self) -> dict[str, str]:
        """The digests in which two parts of one transfer agree."""
        return {**super().belongs(), "teacher": self.teacher.sha}

    def build(self) -> Pairing:
        student = get_family(self.plan.family).build(self.plan, dropout=self.recipe.dropout)
        return Pairing(student, teacher_width=self.teacher.width)

    def optimiser(self, network: Pairing) -> Optimizer:
        return make_optimiser(parameter_groups(network, self.recipe.weight_decay), self.recipe)

    def batch(self, number: int) -> PairBatch:
        return train_pair_batch(
            self.store,
            self.train,
            plan=self.plan,
            frame_crop=self.teacher.crop,
            recipe=self.recipe,
            seed=self.seed,
            start=number * self.recipe.batch,
            count=self.recipe.batch,
        )

    def forward(self, network: Pairing, batch: PairBatch, placement: Placement) -> Pass:
        with placement.autocast():
            features = self._features(network, batch.clips, batch.frames, placement)
            answers = network(*features)
        matched = batch.matched.to(answers.device)
        return Pass(binary_cross_entropy_with_logits(answers, matched), _correct(answers, matched))

    def _features(
        self, network: Pairing, clips_NTHWC: Tensor, frames_NTHWC: Tensor, placement: Placement
    ) -> tuple[Tensor, Tensor]:
        of_clips = network.student(placement.input(clips_NTHWC)).float()
        return of_clips, self.teacher.features(frames_NTHWC, placement)

    def test(
        self,
        network: Pairing,
        placement: Placement,
        *,
        tell: Callable[[int, float], None],
        notes: list[str],
    ) -> PairScores:
        """Every held-out clip with its own frames, and with those of another one.

        `tell` is not called: pairs have answers only once every clip was read.
        """
        count, found = len(self.held_out), []
        with torch.inference_mode(), placement.autocast():
            for start in range(0, count, self.recipe.batch):
                clips, frames = centre_views(
                    self.store,
                    self.held_out,
                    plan=self.plan,
                    frame_crop=self.teacher.crop,
                    recipe=self.recipe,
                    start=start,
                    count=min(self.recipe.batch, count - start),
                )
                found.append(self._features(network, clips, frames, placement))
            of_clips, of_frames = (torch.cat(parts) for parts in zip(*found, strict=True))
            others = [another(self.seed, place, place, count) for place in range(count)]
            answers = network(
                torch.cat([of_clips, of_clips]), torch.cat([of_frames, of_frames[others]])
            )
        matched = torch.tensor([1.0] * count + [0.0] * count, device=answers.device)
        return PairScores(
            pairs=2 * count,
            accuracy=int(_correct(answers, matched)) / (2 * count),
            loss=binary_cross_entropy_with_logits(answers, matched).item(),
        )


def _correct(answers: Tensor, matched: Tensor) -> Tensor:
    return ((answers.detach() > 0) == (matched > 0)).sum()


def transfer(task: TransferTask, *, weights_out: Path, **how: Unpack[How]) -> Transferred:
    """Train the student and write its weights, with its classifier as it was initialised.

    Interrupted where `stop` says so; the same call then goes on from the checkpoint, bit for bit.
    ConfigError where the loss is no number any more.
    """
    for part, clips in (("training", task.train), ("validation", task.held_out)):
        if len(clips) < 2:
            raise DataError(f"the {part} part holds {len(clips)} clips; pairs need 2 or more")
    beside, accuracy = (task.teacher.network,), "pair_accuracy"
    with trained(task, **how, beside=beside, accuracy=accuracy) as (run, scores):
        checkpoints.save_weights(run.network.whole_student(), weights_out)
        return Transferred(**scores._asdict(), **facts(run))
