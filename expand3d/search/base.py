"""What a strategy is: a pure function from the record of trials to what should be trained next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from expand3d.cost.budget import format_macs
from expand3d.errors import BudgetError
from expand3d.families import get_family
from expand3d.genotype import Genotype
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


def base_candidate(genotype: Genotype, *, num_classes: int, budget: int) -> Candidate:
    """The network that a strategy begins with; BudgetError where it costs more than `budget`."""
    family = get_family(genotype.family)
    plan = family.resolve(genotype, num_classes=num_classes)
    macs = family.cost(plan).macs
    if macs > budget:
        raise BudgetError(
            f"budget = {format_macs(budget)} is less than the base network costs; "
            f"the smallest budget is {format_macs(macs)}"
        )
    return Candidate(genotype, plan.to_json(), plan.digest, macs, 0, None, role="base")


def drive(
    strategy: Strategy,
    trials: Callable[[], Sequence[Trial]],
    answer: Callable[[Sequence[Candidate]], None],
    watch: Callable[[Batch], None] = lambda batch: None,
) -> Done:
    """Why the strategy ended: the one loop, whatever answers and wherever the record is.

    `trials` reads the record, `answer` adds a finished trial for each of some networks to it,
    begun in their order; `watch` is told of each batch before its candidates are answered.
    """
    while isinstance(ask := strategy.ask(trials()), Batch):
        watch(ask)
        known = answers(trials())
        wanted = {c.digest: c for c in ask.candidates if c.digest not in known}
        assert wanted, f"the strategy asks again for what it knows: {ask.note}"
        answer(tuple(wanted.values()))
    return ask


def expand_all(strategy: Strategy, evaluate: Callable[[Candidate], Trial]) -> list[Trial]:
    """Every trial of a whole run in memory, numbered in the order they were evaluated."""
    history: list[Trial] = []

    def answer(candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            history.append(dataclasses.replace(evaluate(candidate), number=len(history)))

    drive(strategy, lambda: history, answer)
    return history
