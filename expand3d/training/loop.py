"""The proxy training: one network and one set of clips in, one `Training` out."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from expand3d.core.errors import DataError
from expand3d.core.genotype import Plan, digest
from expand3d.core.recipe import Recipe
from expand3d.core.result import TRAINING_FACTOR, ClipScore, Interrupted, Status, Training
from expand3d.data.frames import derived_seed
from expand3d.data.store import ClipStore
from expand3d.networks import get_family
from expand3d.training import checkpoint as checkpoints
from expand3d.training.batches import Batch, ahead, train_batch
from expand3d.training.finite import require_finite
from expand3d.training.placement import Placement, place
from expand3d.training.progress import Meter, Phase, Progress, Reporter
from expand3d.training.scoring import Scorer, score_clips
from expand3d.training.step import (
    Ended,
    forward_backward,
    is_out_of_memory,
    lr_at,
    make_optimiser,
    set_lr,
)


@dataclass(frozen=True)
class _Job:
    """What is trained: with the placement, all that the result depends on."""

    plan: Plan
    store: ClipStore
    train_indices: tuple[int, ...]
    eval_indices: tuple[int, ...]
    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class _Limits:
    """What may end a training early, and who is told how it goes."""

    stop: Callable[[], bool]
    timeout: float | None
    on_progress: Callable[[Progress], None] | None


def train(
    plan: Plan,
    store: ClipStore,
    *,
    train_indices: Sequence[int],
    eval_indices: Sequence[int],
    recipe: Recipe,
    seed: int,
    forward_macs: int,
    test_macs: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 120.0,
    weights_out: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    timeout: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Training:
    """The outcome of training `plan`'s network on some clips and testing it on others.

    `forward_macs` and `test_macs` are MACs of one view at the training and at the test crop.
    `stop` is asked between batches; once true, the checkpoint is written and `Interrupted`
    raised. `timeout` is in seconds of this training, kept across resumes. Where `checkpoint`
    exists and is of the same plan, recipe, seed and data, training continues from it; it stays
    until the caller has recorded the outcome and calls `discard`. `weights_out` receives the
    trained weights (safetensors). Divergence, exhausted memory and the time-out are outcomes;
    every other exception is raised, DataError where there is no clip to train on.
    """
    if not train_indices:
        raise DataError("the training part holds no clip")
    placement = place(recipe, device=device, threads=threads)
    with placement.active():
        job = _Job(plan, store, tuple(train_indices), tuple(eval_indices), recipe, seed)
        writer = checkpoints.Checkpointer(checkpoint, seconds=checkpoint_seconds)
        run = _Run(job, placement, writer, _Limits(stop, timeout, on_progress))
        run.resume()
        status, reason, scores = _outcome(run)
        if status == "ok" and weights_out is not None:
            checkpoints.save_weights(run.model, weights_out)
        visits = run.step * recipe.batch
        views = len(scores) * recipe.test_views * recipe.test_crops
        return Training(
            status=status,
            reason=reason,
            scores=scores,
            clip_visits=visits,
            training_macs=TRAINING_FACTOR * forward_macs * visits,
            seconds=run.seconds(),
            peak_memory=placement.peak_memory(),
            curve=tuple(run.curve),
            notes=tuple(run.notes),
            environment={**placement.environment(), "bn_batch": recipe.bn_batch},
            test_macs=(test_macs or forward_macs) * views,
            waited_seconds=run.waited,
            test_seconds=run.tested,
        )


def _outcome(run: _Run) -> tuple[Status, str | None, tuple[ClipScore, ...]]:
    """Train and test; what went wrong where there is no score."""
    try:
        run.fit()
        require_finite(run.model)
        return "ok", None, run.test()
    except Ended as ended:
        return ended.status, str(ended), ()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        where = f"in training at step {run.step + 1}" if run.step < run.steps else "in testing"
        return "out of memory", f"{where}: {checkpoints.first_line(error)}", ()


class _Run:
    """The changing state of one training; `step` counts the optimiser's steps done."""

    def __init__(
        self,
        job: _Job,
        placement: Placement,
        writer: checkpoints.Checkpointer,
        limits: _Limits,
    ) -> None:
        self.job, self.recipe, self.placement = job, job.recipe, placement
        self.writer, self.limits = writer, limits
        self.steps = job.recipe.steps_for(len(job.train_indices))
        self._epochs = math.ceil(self.steps * job.recipe.batch / len(job.train_indices))
        self.notes: list[str] = []
        self._started = time.monotonic()
        self._begin()

    def _begin(self) -> None:
        """Step 0: weights drawn from the seed."""
        torch.manual_seed(derived_seed("weights", self.job.seed))
        model = get_family(self.job.plan.family).build(self.job.plan, dropout=self.recipe.dropout)
        self.model = self.placement.model(model)
        self.optimiser = make_optimiser(self.model, self.recipe)
        self.step = 0
        self.curve: list[dict[str, float]] = []
        self.meter = Meter()
        self.waited = self.tested = 0.0
        self._seconds_before = 0.0

    def seconds(self) -> float:
        """Time spent on this training so far, earlier processes included."""
        return self._seconds_before + time.monotonic() - self._started

    def _visits(self) -> int:
        return self.step * self.recipe.batch

    def _epoch(self) -> int:
        """The epoch, from 1, that the last clip visit fell into."""
        return (self._visits() - 1) // len(self.job.train_indices) + 1

    def _reporter(self, phase: Phase, *, done: int, total: int) -> Reporter:
        epochs = self._epochs
        return Reporter(self.limits.on_progress, phase, epochs=epochs, done=done, total=total)

    # Checkpoints

    def _belongs(self) -> dict[str, str]:
        """What a checkpoint must agree in to be continued."""
        clips = [(self.job.store.keys[i], self.job.store.labels[i]) for i in self.job.train_indices]
        return {
            "plan": self.job.plan.digest,
            "recipe": digest(self.recipe.to_json()),
            "seed": str(self.job.seed),
            "training clips": digest(clips),
        }

    def _state(self) -> dict[str, Any]:
        return {
            "belongs": self._belongs(),
            "environment": self.placement.environment(),
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds(),
            "waited": self.waited,
            "curve": self.curve,
            "epoch": dataclasses.asdict(self.meter),
            "notes": self.notes,
        }

    def _save(self) -> None:
        note = self.writer.write(self._state())
        if note and note not in self.notes:
            self.notes.append(note)

    def resume(self) -> None:
        """Continue from the checkpoint where there is one that fits."""
        path = self.writer.path
        state, note = checkpoints.load(path, belongs=self._belongs())
        if state is not None:
            try:
                self._restore(state)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                assert path is not None
                why = checkpoints.first_line(error)
                note = f"checkpoint {path.name} ignored: of another version ({why})"
                self._begin()
        if note:
            self.notes.append(note)

    def _restore(self, state: dict[str, Any]) -> None:
        meter = Meter(**state["epoch"])
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        environment = self.placement.environment()
        notes = [*state["notes"], *checkpoints.exactness_notes(environment, state["environment"])]
        self.notes = list(dict.fromkeys(notes))
        self.meter, self.step, self.curve = meter, state["step"], state["curve"]
        self._seconds_before, self.waited = state["seconds"], state.get("waited", 0.0)

    # Training

    def fit(self) -> None:
        """Train to the last step; Interrupted or Ended where that is not to be."""
        recipe, passes = self.recipe, self.recipe.batch // self.recipe.bn_batch

        def make(number: int) -> Batch:
            return train_batch(
                self.job.store,
                self.job.train_indices,
                plan=self.job.plan,
                recipe=recipe,
                seed=self.job.seed,
                start=number * recipe.bn_batch,
                count=recipe.bn_batch,
            )

        self.model.train()
        reporter = self._reporter("train", done=self._visits(), total=self.steps * recipe.batch)
        left = range(self.step * passes, self.steps * passes)
        with closing(ahead(make, left, workers=self.placement.loader_threads)) as batches:
            while self.step < self.steps:
                self._check_limits()
                lr = lr_at(self.step, steps=self.steps, recipe=recipe)
                asked = time.monotonic()
                chosen = [next(batches) for _ in range(passes)]
                self.waited += time.monotonic() - asked
                self._one_step(chosen, lr)
                epoch, loss, accuracy = self._epoch(), self.meter.loss, self.meter.accuracy
                reporter.tell(self._visits(), epoch=epoch, accuracy=accuracy, loss=loss, lr=lr)
                epoch_end = self._close_epoch(lr)
                if self.step == self.steps or self.writer.due(epoch_end=epoch_end):
                    self._save()

    def _one_step(self, batches: list[Batch], lr: float) -> None:
        # Dropout is a function of (seed, step), so that no random state has to be carried over.
        torch.manual_seed(derived_seed("step", self.job.seed, self.step))
        set_lr(self.optimiser, lr)
        self.optimiser.zero_grad(set_to_none=True)
        for batch in batches:
            shown = forward_backward(
                self.model,
                batch,
                recipe=self.recipe,
                placement=self.placement,
                share=1 / len(batches),
            )
            if not math.isfinite(shown.loss):
                raise Ended(
                    "diverged", f"the loss became {shown.loss} at step {self.step + 1}/{self.steps}"
                )
            self.meter.add(loss=shown.loss, correct=shown.correct, clips=len(batch.labels))
        self.optimiser.step()
        self.step += 1

    def _close_epoch(self, lr: float) -> bool:
        """Whether this step ended an epoch; if so the curve has one row more."""
        clips = len(self.job.train_indices)
        before = (self._visits() - self.recipe.batch) // clips
        if self._visits() // clips == before and self.step < self.steps:
            return False
        self.curve.append(
            {
                "epoch": self._epoch(),
                "loss": self.meter.loss,
                "accuracy": self.meter.accuracy,
                "lr": lr,
                "seconds": round(self.seconds(), 3),
            }
        )
        self.meter = Meter()
        return True

    def _check_limits(self) -> None:
        """Asked between batches: Interrupted where a stop is wished, Ended past the time-out."""
        if self.limits.stop():
            self._save()
            raise Interrupted(f"stopped at step {self.step}/{self.steps}")
        if self.limits.timeout is not None and self.seconds() > self.limits.timeout:
            raise Ended(
                "timeout",
                f"{self.seconds():.0f} s spent of {self.limits.timeout:g} s allowed, "
                f"at step {self.step}/{self.steps}",
            )

    # Testing

    def test(self) -> tuple[ClipScore, ...]:
        """The scores of the held-out clips; repeatable, so a killed test is simply run again."""
        views = len(self.job.eval_indices) * self.recipe.test_views * self.recipe.test_crops
        reporter = self._reporter("test", done=0, total=views)

        def after_batch(done: int, accuracy: float) -> None:
            reporter.tell(done, epoch=self._epochs, accuracy=accuracy)
            self._check_limits()

        scorer = Scorer(self.model, self.placement, views=self.recipe.bn_batch)
        started = time.monotonic()
        try:
            return score_clips(
                scorer,
                self.job.store,
                self.job.eval_indices,
                plan=self.job.plan,
                recipe=self.recipe,
                workers=self.placement.loader_threads,
                after_batch=after_batch,
            )
        finally:
            self.tested = time.monotonic() - started
            self.notes.extend(scorer.notes)
