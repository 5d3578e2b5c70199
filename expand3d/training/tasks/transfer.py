"""Supervision transfer from a 2D network to a 3D one (arXiv 1711.08200, section 3.3).

A frozen teacher reads frames, the student a clip; their pooled features side by side pass 512 and
128 units to one answer: same video and time, or not. Only the student and those units learn, and
no label is needed.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from expand3d.core.errors import ConfigError, DataError, WeightsError
from expand3d.core.genotype import Plan, digest
from expand3d.core.recipe import Recipe
from expand3d.core.result import Interrupted
from expand3d.data import crops as augment
from expand3d.data.frames import derived_seed
from expand3d.data.store import ClipStore
from expand3d.networks import get_family
from expand3d.training import checkpoint as checkpoints
from expand3d.training.batches import ahead
from expand3d.training.placement import Placement, place
from expand3d.training.progress import Meter, Progress, Reporter
from expand3d.training.step import lr_at, make_optimiser, set_lr
from expand3d.training.tasks.pairs import PairBatch, another, centre_views, train_pair_batch

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

    def features(self, frames: Tensor, placement: Placement) -> Tensor:
        """Float N x width: the mean over the T frames of uint8 N x T x H x W x 3."""
        images = placement.inputs(frames.flatten(0, 1).unsqueeze(1))
        mean, std = (
            torch.tensor(values, device=images.device).view(1, 3, 1, 1, 1)
            for values in (self.mean, self.std)
        )
        with torch.no_grad():
            found = self.network((images * augment.STD + augment.MEAN - mean) / std)
        return found.float().view(*frames.shape[:2], -1).mean(dim=1)


@dataclass(frozen=True)
class Task:
    """A transfer's networks, clips, recipe and seed: all that the result depends on."""

    plan: Plan
    teacher: Teacher
    store: ClipStore
    train: tuple[int, ...]
    held_out: tuple[int, ...]
    recipe: Recipe
    seed: int

    def belongs(self) -> dict[str, str]:
        """The identity that two parts of one transfer share."""
        store = self.store
        return {
            "plan": self.plan.digest,
            "teacher": self.teacher.sha,
            "recipe": digest(self.recipe.to_json()),
            "seed": str(self.seed),
            "clips": digest(
                [[store.keys[i] for i in part] for part in (self.train, self.held_out)]
            ),
        }


@dataclass(frozen=True)
class Transferred:
    """The accuracy on held-out pairs: half of `pairs` match, so chance is 0.5."""

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


def transfer(
    task: Task,
    *,
    weights_out: Path,
    log: Path,
    checkpoint: Path,
    checkpoint_seconds: float = 120.0,
    device: str = "cpu",
    threads: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Transferred:
    """Train the student and write its weights, with its classifier as it was initialised.

    `log` receives one JSON line per step. Where `checkpoint` is of the same task the transfer
    goes on from it, on a CPU bit for bit; it stays until the caller calls `discard`. Interrupted
    where `stop` says so between steps; ConfigError where the loss is no number any more. `say` is
    told where it goes on.
    """
    for part, clips in (("training", task.train), ("validation", task.held_out)):
        if len(clips) < 2:
            raise DataError(f"the {part} part holds {len(clips)} clips; pairs need 2 or more")
    placement = place(task.recipe, device=device, threads=threads)
    with placement.active():
        writer = checkpoints.Checkpointer(checkpoint, seconds=checkpoint_seconds)
        run = _Run(task, placement, writer, _Log(log))
        run.resume()
        for note in run.notes:
            say(note)
        if 0 < run.step < run.steps:
            say(f"goes on after step {run.step} of {run.steps}")
        run.fit(stop, on_progress)
        result = run.test()
        run.student.set_submodule(run.classifier_name, run.classifier)
        checkpoints.save_weights(run.student, weights_out)
        return result


class _Log:
    """One JSON line per step, in step with the checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep(self, steps: int) -> None:
        """Drop the lines of later steps, which will be taken again."""
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with checkpoints.written_whole(self.path) as file:
            file.writelines(lines[:steps])

    def add(self, **row: Any) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def sync(self) -> None:
        """On the disk before the checkpoint is."""
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())


class _Run:
    """The changing state of one transfer; `step` counts the optimiser's steps done."""

    def __init__(
        self, task: Task, placement: Placement, writer: checkpoints.Checkpointer, log: _Log
    ) -> None:
        self.task, self.recipe, self.placement = task, task.recipe, placement
        self.writer, self.log = writer, log
        self.steps = task.recipe.steps_for(len(task.train))
        self.notes: list[str] = []
        placement.model(task.teacher.network)
        self._begin()

    def _begin(self) -> None:
        torch.manual_seed(derived_seed("weights", self.task.seed))
        plan = self.task.plan
        student = get_family(plan.family).build(plan, dropout=self.recipe.dropout)
        self.student, self.classifier_name, self.classifier = without_classifier(student)
        layers: list[nn.Module] = []
        width = self.classifier.in_features + self.task.teacher.width
        for units in HIDDEN:
            layers += [nn.Linear(width, units), nn.ReLU()]
            width = units
        self.head = nn.Sequential(*layers, nn.Linear(width, 1))
        self.learning = nn.ModuleDict({"student": self.student, "head": self.head})
        self.placement.model(self.learning)
        self.optimiser = make_optimiser(self.learning, self.recipe)
        self.step = 0

    # Checkpoints

    def _save(self) -> None:
        self.log.sync()
        note = self.writer.write(
            {
                "belongs": self.task.belongs(),
                "environment": self.placement.environment(),
                "learning": self.learning.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
                "notes": self.notes,
            }
        )
        if note and note not in self.notes:
            self.notes.append(note)

    def resume(self) -> None:
        """Continue from the checkpoint where there is one that fits."""
        state, note = checkpoints.load(self.writer.path, belongs=self.task.belongs())
        if state is not None:
            self.learning.load_state_dict(state["learning"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step = state["step"]
            now, before = self.placement.environment(), state["environment"]
            self.notes = [*state["notes"], *checkpoints.exactness_notes(now, before)]
        if note:
            self.notes.append(note)
        self.log.keep(self.step)

    # Training

    def fit(self, stop: Callable[[], bool], on_progress: Callable[[Progress], None] | None) -> None:
        """Train to the last step; Interrupted where a stop is wished."""
        recipe, task, clips = self.recipe, self.task, len(self.task.train)

        def make(number: int) -> PairBatch:
            return train_pair_batch(
                task.store,
                task.train,
                plan=task.plan,
                frame_crop=task.teacher.crop,
                recipe=recipe,
                seed=task.seed,
                start=number * recipe.batch,
                count=recipe.batch,
            )

        epochs, visits = math.ceil(self.steps * recipe.batch / clips), self.steps * recipe.batch
        reporter = Reporter(
            on_progress, "train", epochs=epochs, done=self.step * recipe.batch, total=visits
        )
        self.learning.train()
        meter, epoch = Meter(), 0
        left = range(self.step, self.steps)
        with closing(ahead(make, left, workers=self.placement.loader_threads)) as batches:
            for batch in batches:
                if stop():
                    self._save()
                    raise Interrupted(f"stopped at step {self.step}/{self.steps}")
                loss, correct, lr = self._one_step(batch)
                done = self.step * recipe.batch
                if (done - 1) // clips + 1 != epoch:
                    meter, epoch = Meter(), (done - 1) // clips + 1
                meter.add(loss=loss, correct=correct, clips=recipe.batch)
                reporter.tell(done, epoch=epoch, accuracy=meter.accuracy, loss=meter.loss, lr=lr)
                epoch_end = done // clips > (done - recipe.batch) // clips
                if self.step == self.steps or self.writer.due(epoch_end=epoch_end):
                    self._save()

    def _one_step(self, batch: PairBatch) -> tuple[float, int, float]:
        """The step's loss in nats, its right answers, and its learning rate."""
        torch.manual_seed(derived_seed("step", self.task.seed, self.step))
        lr = lr_at(self.step, steps=self.steps, recipe=self.recipe)
        set_lr(self.optimiser, lr)
        self.optimiser.zero_grad(set_to_none=True)
        with self.placement.autocast():
            answers = self._answers(*self._features(batch.clips, batch.frames))
        matched = batch.matched.to(answers.device)
        loss = binary_cross_entropy_with_logits(answers, matched)
        value, correct = loss.item(), _correct(answers, matched)
        if not math.isfinite(value):
            raise ConfigError(
                f"lr = {self.recipe.lr:g} is too much: the loss became {value} at step "
                f"{self.step + 1}/{self.steps}; try {self.recipe.lr / 10:g}"
            )
        loss.backward()
        self.optimiser.step()
        self.step += 1
        row = {"step": self.step, "clip_visits": self.step * self.recipe.batch, "loss": value}
        self.log.add(**row, pair_accuracy=correct / len(matched), lr=lr)
        return value, correct, lr

    def _features(self, clips: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        of_clips = self.student(self.placement.inputs(clips)).float()
        return of_clips, self.task.teacher.features(frames, self.placement)

    def _answers(self, of_clips: Tensor, of_frames: Tensor) -> Tensor:
        """Above 0 where a clip and frames are taken for one video and time."""
        return self.head(torch.cat([of_clips, of_frames], dim=1)).squeeze(1).float()

    # Testing

    def test(self) -> Transferred:
        """Every held-out clip with its own frames, and with those of another one."""
        task, count = self.task, len(self.task.held_out)
        self.learning.eval()
        found = []
        with torch.inference_mode(), self.placement.autocast():
            for start in range(0, count, self.recipe.batch):
                clips, frames = centre_views(
                    task.store,
                    task.held_out,
                    plan=task.plan,
                    frame_crop=task.teacher.crop,
                    recipe=self.recipe,
                    start=start,
                    count=min(self.recipe.batch, count - start),
                )
                found.append(self._features(clips, frames))
            of_clips, of_frames = (torch.cat(parts) for parts in zip(*found, strict=True))
            others = [another(task.seed, place, place, count) for place in range(count)]
            answers = self._answers(
                torch.cat([of_clips, of_clips]), torch.cat([of_frames, of_frames[others]])
            )
        matched = torch.tensor([1.0] * count + [0.0] * count, device=answers.device)
        return Transferred(
            pairs=2 * count,
            accuracy=_correct(answers, matched) / (2 * count),
            loss=binary_cross_entropy_with_logits(answers, matched).item(),
            clip_visits=self.step * self.recipe.batch,
            environment=self.placement.environment(),
            notes=tuple(self.notes),
        )


def _correct(answers: Tensor, matched: Tensor) -> int:
    return int(((answers.detach() > 0) == (matched > 0)).sum())
