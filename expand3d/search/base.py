"""What a strategy is: a pure function from the record of trials to what should be trained next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from expand3d.study.trial import Candidate, Trial


@dataclass(frozen=True)
class Batch:
    """Candidates that may be trained side by side, and one line that says why these.

    Some may be answered by the record already; the driver trains only the others.
    """

    candidates: tuple[Candidate, ...]
    note: str


@dataclass(frozen=True)
class Done:
    """Nothing is left to train, and why."""

    reason: str


Ask = Batch | Done


class Strategy(Protocol):
    """Frozen configuration and one function; equal records give equal answers, in any order."""

    def ask(self, history: Sequence[Trial]) -> Ask:
        """The next batch, at least one candidate of which `history` does not answer; or Done."""
        ...


def answers(history: Sequence[Trial]) -> Mapping[str, Trial]:
    """Finished trials by the digest of their network: a complete one first, then the earliest."""
    finished = [trial for trial in history if trial.state != "running"]
    finished.sort(key=lambda trial: (trial.state != "complete", trial.number))
    found: dict[str, Trial] = {}
    for trial in finished:
        found.setdefault(trial.candidate.digest, trial)
    return found


def drive(
    strategy: Strategy,
    trials: Callable[[], Sequence[Trial]],
    answer: Callable[[Candidate], None],
    watch: Callable[[Batch], None] = lambda batch: None,
) -> Done:
    """Why the strategy ended: the one loop, whatever answers and wherever the record is.

    `trials` reads the record, `answer` adds a finished trial for one candidate to it; `watch` is
    told of each batch before its candidates are answered.
    """
    while isinstance(ask := strategy.ask(trials()), Batch):
        watch(ask)
        known = answers(trials())
        wanted = [candidate for candidate in ask.candidates if candidate.digest not in known]
        assert wanted, f"the strategy asks again for what it knows: {ask.note}"
        for candidate in wanted:
            answer(candidate)
    return ask


def expand_all(strategy: Strategy, evaluate: Callable[[Candidate], Trial]) -> list[Trial]:
    """Every trial of a whole run in memory, numbered in the order they were evaluated."""
    history: list[Trial] = []

    def answer(candidate: Candidate) -> None:
        history.append(dataclasses.replace(evaluate(candidate), number=len(history)))

    drive(strategy, lambda: history, answer)
    return history
