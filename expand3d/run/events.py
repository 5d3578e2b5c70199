"""The messages of a run to whoever looks on: nothing here decides anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expand3d.core.genotype import Plan
from expand3d.core.measured import Latency
from expand3d.core.quantity import MACS, Quantity
from expand3d.core.trial import Candidate, Trial

if TYPE_CHECKING:
    from expand3d.core.result import Training
    from expand3d.training.progress import Progress


@dataclass(frozen=True)
class PlannedStep:
    """The forecast of a step, or of the network called `name`, before anything was trained.

    `target` is in what `quantity` counts; `memory` is the largest predicted peak in bytes of one
    training, None where it is not predicted.
    """

    step: int
    candidates: int
    target: int
    clip_visits: int
    training_macs: int
    seconds: float
    name: str | None = None
    quantity: Quantity = MACS
    memory: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The row for scripts; `target` is in what `counts` names."""
        return {
            "step": self.step,
            "name": self.name,
            "candidates": self.candidates,
            "target": self.target,
            "counts": self.quantity.noun,
            "clip_visits": self.clip_visits,
            "training_macs": self.training_macs,
            "seconds": self.seconds,
            "memory_bytes": self.memory,
        }


@dataclass(frozen=True)
class Overview:
    """The plan of a run: what limits it, what it will train, how long that should take.

    What is chosen on the way decides about the rest: `shortest` and `longest` are the expected
    seconds of the ways that were looked at, where there are several. `warnings` say what this
    machine lacks for it.
    """

    name: str
    lines: tuple[tuple[str, str], ...]
    steps: tuple[PlannedStep, ...]
    final: PlannedStep | None
    shortest: float | None = None
    longest: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Expected wall time of everything."""
        rows = [*self.steps, self.final] if self.final else self.steps
        return sum(row.seconds for row in rows)

    @property
    def candidates(self) -> int:
        """Networks to be trained and compared, the base included."""
        return sum(row.candidates for row in self.steps)

    def to_json(self) -> dict[str, Any]:
        """The plan for scripts, in seconds, bytes and multiply-adds."""
        rows = [*self.steps, self.final] if self.final else self.steps
        return {
            "study": self.name,
            "facts": dict(self.lines),
            "steps": [row.to_json() for row in self.steps],
            "final": self.final.to_json() if self.final else None,
            "candidates": self.candidates,
            "clip_visits": sum(row.clip_visits for row in rows),
            "training_macs": sum(row.training_macs for row in rows),
            "seconds": self.seconds,
            "shortest_seconds": self.shortest,
            "longest_seconds": self.longest,
            "warnings": list(self.warnings),
        }


class Watch:
    """Looks on and says nothing; a rendering overrides what it shows."""

    def note(self, text: str) -> None:
        """Something that the user should know: a skipped file, a default that was taken."""

    def decoding(self, done: int, total: int) -> None:
        """`done` of `total` clips are in the cache."""

    def flow(self, done: int, total: int) -> None:
        """The optical flow of `done` of `total` clips that lacked it is in the cache."""

    def planned(self, overview: Overview) -> None:
        """The plan of what is to be done, before the first training of this process."""

    def measured(self, plan: Plan, latency: Latency) -> None:
        """A network that may be proposed was timed: `latency` is of one clip."""

    def step(self, candidates: Sequence[Candidate], done: Sequence[Trial]) -> None:
        """A step begins, or goes on after a resume: `done` were trained before."""

    def training(self, candidate: Candidate | None, progress: Progress) -> None:
        """A training goes on; no candidate stands for the winner's last training."""

    def reached(self, trial: Trial) -> None:
        """A candidate was tested after `trial.reached` clip visits and waits to be trained on."""

    def finished(self, trial: Trial) -> None:
        """A candidate has its scores, or the reason why it has none."""

    def decided(self, step: int, text: str) -> None:
        """A step has chosen; `text` says what, and how sure that is."""

    def final(self, training: Training) -> None:
        """The winner's last training is done."""
