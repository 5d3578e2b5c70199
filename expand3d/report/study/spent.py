"""The cost of the trainings of trials: multiply-adds, time and where it went, and memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from expand3d.core.trial import Trial
from expand3d.core.units import in_bytes


@dataclass(frozen=True)
class Spent:
    """Multiply-adds, seconds (of them waiting for clips, and testing) and bytes of all trainings.

    `training_macs` are the multiply-adds of the trainings without their tests. A training that
    diverged, ran out of memory or out of time counts what it had seen by then; one that ended with
    its process left no count. `peak_memory` is the largest that was measured, `predicted_memory`
    what had been predicted for the same trial; None where there is none.
    """

    training_macs: int
    seconds: float
    waited_seconds: float
    test_seconds: float
    peak_memory: int | None
    predicted_memory: int | None

    @property
    def waited(self) -> float:
        """Share of the training proper, from 0, that went by without the next clips."""
        return self.waited_seconds / max(self.seconds - self.test_seconds, 1e-9)

    @property
    def tested(self) -> float:
        """Time of the tests / time of the training proper."""
        return self.test_seconds / max(self.seconds - self.test_seconds, 1e-9)

    @property
    def text(self) -> str:
        """One line for people."""
        parts = [
            f"waited for clips {self.waited:.1%} of the training time",
            f"tests took {self.tested:.0%} of it",
        ]
        if self.peak_memory is not None:
            memory = f"memory at most {in_bytes(self.peak_memory)}"
            if self.predicted_memory is not None:
                memory += f" ({in_bytes(self.predicted_memory)} predicted)"
            parts.append(memory)
        return ", ".join(parts)

    def memory_json(self) -> dict[str, Any]:
        """The two figures of memory for a table or a script."""
        return {"peak_memory": self.peak_memory, "predicted_memory": self.predicted_memory}


def spent(trials: Sequence[Trial]) -> Spent:
    """The cost of the trainings of `trials`, together."""
    # One that went on counts what it had taken before, but for the tests on the way.
    trainings = [training for trial in trials for training in trial.furthest.values()]
    every = [(trial, training) for trial in trials for training in trial.trainings.values()]
    peaks = [
        (training.peak_memory, trial.provenance.get("predicted_memory"))
        for trial, training in every
    ]
    peak, predicted = max(peaks, key=lambda pair: pair[0], default=(None, None))
    return Spent(
        training_macs=sum(training.training_macs for training in trainings),
        seconds=sum(trial.seconds for trial in trials),
        waited_seconds=sum(training.waited_seconds for training in trainings),
        test_seconds=sum(training.test_seconds for _, training in every),
        peak_memory=peak,
        predicted_memory=predicted,
    )
