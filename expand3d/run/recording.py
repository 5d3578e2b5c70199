"""The listener that writes what an executor tells into the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expand3d.core.result import Training, TrainingKey
from expand3d.core.trial import State
from expand3d.execute.base import Assignment
from expand3d.run.events import Watch
from expand3d.study.record import Record


class Recording:
    """Writes what an executor tells into the record at once, and shows it."""

    def __init__(self, record: Record, watch: Watch) -> None:
        self._record, self._watch = record, watch

    def note(self, text: str) -> None:
        self._watch.note(text)

    def progress(self, assignment: Assignment, progress: Any) -> None:
        self._watch.training(assignment.candidate, progress)

    def trained(self, assignment: Assignment, key: TrainingKey, training: Training) -> None:
        assert assignment.number is not None
        self._record.put_training(assignment.number, key, training)
        if key.visits is None or training.status != "ok":  # else it may be trained on
            _discard(assignment.checkpoint(key))

    def ended(self, assignment: Assignment, failure: str | None) -> None:
        assert assignment.number is not None
        trial = self._record.trial(assignment.number)
        failed = [t for t in trial.trainings.values() if t.status != "ok"]
        if failed:
            failure = f"{failed[0].status}: {failed[0].reason}"
        if assignment.visits is not None and not failure:
            self._watch.reached(self._record.put_reached(trial.number, assignment.visits))
            return
        state: State = "failed" if failure else "complete"
        self._watch.finished(self._record.finish(trial.number, state, failure))


def stop_early(record: Record, number: int, reason: str, watch: Watch) -> None:
    """End a running trial, which is not trained on for that reason; its checkpoints go."""
    watch.finished(record.finish(number, "stopped", reason))
    for path in checkpoints_of(record, number):
        path.unlink(missing_ok=True)


def checkpoints_of(record: Record, number: int) -> list[Path]:
    """The files in which the trainings of a trial keep their states."""
    folder = record.folder.checkpoints
    return [path for path in folder.iterdir() if path.name.partition("-")[0] == str(number)]


def _discard(checkpoint: Path) -> None:
    from expand3d.training.checkpoint import discard

    discard(checkpoint)
