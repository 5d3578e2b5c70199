"""The price of a race: its multiply-adds, and those that whole trainings would have taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from expand3d.core.budget import format_macs
from expand3d.core.trial import Candidate, Trial


def taken(trials: Iterable[Trial]) -> int:
    """Multiply-adds of trainings, which go on from one another, and of all their tests."""
    return sum(
        sum(training.training_macs for training in trial.furthest.values())
        + sum(training.test_macs for training in trial.trainings.values())
        for trial in trials
    )


def of_whole(ended: Trial, candidates: Iterable[Candidate]) -> int:
    """Multiply-adds of whole trainings of the candidates, as the trial that `ended` took them.

    Both trainings and tests are in proportion to what one clip costs.
    """
    runs = [training for key, training in ended.trainings.items() if key.visits is None]
    each = sum(run.training_macs + run.test_macs for run in runs) / ended.candidate.macs
    return round(each * sum(candidate.macs for candidate in candidates))


def price_text(spent: int, whole: int) -> str:
    """One line: the two beside each other."""
    return (
        f"it took {format_macs(spent)} of the {format_macs(whole)} that whole trainings would have "
        "taken"
    )


def raced(trials: Sequence[Trial]) -> tuple[int, int] | None:
    """Multiply-adds of the trials, and of whole trainings; None where none lost a race, or yet won.

    Those that still run are left out of both.
    """
    done = [trial for trial in trials if trial.state != "running"]
    ended = next((trial for trial in done if trial.state == "complete"), None)
    if ended is None or not any(trial.state == "stopped" for trial in done):
        return None
    return taken(done), of_whole(ended, (trial.candidate for trial in done))
