"""Progress that a training tells its listener, and the log of its steps."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from expand3d.core.files import make_folder, writing

Phase = Literal["train", "test"]


@dataclass(frozen=True)
class Progress:
    """The state of a training: clip visits while it trains, views while it is tested.

    `loss` (nats) and `accuracy` are means over the epoch so far; in the test, accuracy is over the
    clips so far and loss and lr are 0. It is None where nothing is right or wrong, as in flow.
    `clips_per_second` is of this phase in this process.
    """

    phase: Phase
    epoch: int
    epochs: int
    visits_done: int
    visits_total: int
    loss: float
    lr: float
    clips_per_second: float
    accuracy: float | None


@dataclass
class Meter:
    """Sums over the clip visits of an epoch so far."""

    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0

    def add(self, *, loss: float, correct: int, clips: int) -> None:
        self.loss_sum += loss * clips
        self.correct += correct
        self.seen += clips

    @property
    def loss(self) -> float:
        return self.loss_sum / max(1, self.seen)

    @property
    def accuracy(self) -> float:
        return self.correct / max(1, self.seen)


class Reporter:
    """Tells a listener, if there is one, how one phase goes, with its speed so far."""

    def __init__(
        self,
        listener: Callable[[Progress], None] | None,
        phase: Phase,
        *,
        epochs: int,
        done: int,
        total: int,
    ) -> None:
        self._listener = listener
        self._phase: Phase = phase
        self._epochs, self._total = epochs, total
        self._first, self._started = done, time.monotonic()

    def tell(
        self, done: int, *, epoch: int, accuracy: float, loss: float = 0.0, lr: float = 0.0
    ) -> None:
        if self._listener is None:
            return
        seconds = time.monotonic() - self._started
        self._listener(
            Progress(
                phase=self._phase,
                epoch=epoch,
                epochs=self._epochs,
                visits_done=done,
                visits_total=self._total,
                loss=loss,
                lr=lr,
                clips_per_second=(done - self._first) / max(seconds, 1e-9),
                accuracy=accuracy,
            )
        )


class StepLog:
    """A file of one JSON line per step, kept in step with the checkpoint.

    `accuracy` is what the file calls the share of a step's clips that were right, None where it
    has none.
    """

    def __init__(self, path: Path, *, accuracy: str | None = "accuracy") -> None:
        self.path = path
        self._accuracy = accuracy

    def keep(self, steps: int) -> None:
        """Drop the lines of later steps, which will be taken again."""
        # Here, because a process that only hears of progress does without torch.
        from expand3d.training.checkpoint import written_whole

        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        make_folder(self.path.parent)
        with writing(self.path), written_whole(self.path) as file:
            file.writelines(lines[:steps])

    def add(self, *, step: int, visits: int, loss: float, accuracy: float, lr: float) -> None:
        """Write the line of a step: its mean loss in nats, and its learning rate."""
        row: dict[str, float] = {"step": step, "clip_visits": visits, "loss": loss}
        if self._accuracy is not None:
            row[self._accuracy] = accuracy
        with writing(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({**row, "lr": lr}) + "\n")

    def sync(self) -> None:
        """Put the lines on the disk: they have to be there before the checkpoint is."""
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
