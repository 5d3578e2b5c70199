"""The protocol of a strategy: a pure function from the record of trials to the next trainings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from expand3d.core.errors import BudgetError
from expand3d.core.genotype import Genotype, Plan
from expand3d.core.trial import Candidate, Trial
from expand3d.cost.price import IN_MACS, Price
from expand3d.networks import get_family


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


@dataclass(frozen=True)
class Measure:
    """A latency that is wanted: that of `plan`, which the record lacks and the next step needs."""

    plan: Plan


Ask = Batch | Done | Measure


class Strategy(Protocol):
    """Frozen configuration and one function; equal records give equal answers, in any order."""

    def ask(self, history: Sequence[Trial]) -> Ask:
        """The next batch, at least one candidate of which `history` does not answer; or Done.

        Measure where the latency of a network has to be in the record first.
        """
        ...


def answers(history: Sequence[Trial]) -> Mapping[str, Trial]:
    """Finished trials by the digest of their network: a complete one first, then the earliest."""
    finished = [trial for trial in history if trial.state != "running"]
    finished.sort(key=lambda trial: (trial.state != "complete", trial.number))
    found: dict[str, Trial] = {}
    for trial in finished:
        found.setdefault(trial.candidate.digest, trial)
    return found


def base_candidate(
    genotype: Genotype, *, num_classes: int, budget: int, price: Price = IN_MACS
) -> Candidate:
    """The network that a strategy begins with; BudgetError where it exceeds a limit."""
    family = get_family(genotype.family)
    plan = family.resolve(genotype, num_classes=num_classes)
    if (cost := price.of(plan)) > budget:
        raise BudgetError(
            f"budget = {price.quantity.text(budget)} is less than the base network costs; "
            f"the smallest budget is {price.quantity.text(cost)}"
        )
    if (over := price.over(plan)) is not None:
        raise BudgetError(f"the base network is over a limit of the budget: it takes {over}")
    return Candidate(
        genotype=genotype,
        plan=plan.to_json(),
        digest=plan.digest,
        step=0,
        axis=None,
        role="base",
        **price.fields(plan),
    )


def unexpected(plan: Plan) -> None:
    """Measures nothing: for strategies that count no latency."""
    raise AssertionError(f"nobody here can measure {plan.digest}")


def drive(
    strategy: Strategy,
    trials: Callable[[], Sequence[Trial]],
    answer: Callable[[Sequence[Candidate]], None],
    watch: Callable[[Batch], None] = lambda batch: None,
    measure: Callable[[Plan], None] = unexpected,
) -> Done:
    """The reason why the strategy ended: the one loop, whatever answers and keeps the record.

    `trials` reads the record, `answer` adds a finished trial for each of some networks to it,
    begun in their order; `watch` is told of each batch before its candidates are answered;
    `measure` adds the latency of a network to what the strategy's price knows.
    """
    while not isinstance(ask := strategy.ask(trials()), Done):
        if isinstance(ask, Measure):
            measure(ask.plan)
            continue
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
