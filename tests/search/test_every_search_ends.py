"""Strategies x budgets x schedules: each ends with a result inside every limit, or is refused."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import pytest

from expand3d.core.budget import parse_budget
from expand3d.core.errors import UserError
from expand3d.core.genotype import Plan
from expand3d.core.trial import Candidate, Trial
from expand3d.cost.price import Price
from expand3d.networks import get_family
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.samplers.sampling import Sampling
from expand3d.search.strategy import Batch, Strategy, drive
from tests.helpers.strategies import LIMITS, failed, scored
from tests.search.test_latency_search import Lab, price_of

X3D = get_family("x3d")
BASE = X3D.resolve(X3D.base, num_classes=6)
#: First limits of each quantity, with and without others beside them, some below the base.
BUDGETS = (
    *("60M", "60M,5ms", "60M,5ms,30MB", "60M,5MB", "45M,1000ms", "10M,8ms", "60M,0.1ms"),
    *("7ms", "7ms,60M", "3.9M params,7ms", "12MB,6ms"),
)
EXPANSIONS: tuple[dict[str, object], ...] = tuple(
    {"schedule": schedule, "growth": growth, "beam": beam}
    for schedule, growth, beam in itertools.product(
        ("fit", "paper", "paper-all"), ("single", "compound", "both"), (1, 2)
    )
)
SAMPLERS = tuple({"sampler": name, "trials": 6} for name in ("random", "qmc", "grid"))
#: Of a chessboard of strategies and budgets the white fields are quick enough for every day.
CASES = [
    pytest.param(
        options,
        text,
        id="-".join([*map(str, options.values()), text]),
        marks=[pytest.mark.slow] if (row + column) % 2 else [],
    )
    for row, options in enumerate([*EXPANSIONS, *SAMPLERS])
    for column, text in enumerate(BUDGETS)
]


def strategy_of(options: Mapping[str, object], text: str, lab: Lab) -> Strategy:
    fields = {
        "num_classes": 6,
        "budget": parse_budget(text).first.amount,
        "limits": LIMITS,
        "price": price_of(text, lab),
        **options,
    }
    kind = Sampling if "sampler" in options else Expansion
    return kind(family="x3d", **fields)  # type: ignore[arg-type]


def answered(candidate: Candidate, history: Sequence[Trial]) -> Trial:
    """A trial, of which every seventh fails."""
    made = failed if len(history) % 7 == 4 else scored
    return dataclasses.replace(made(candidate), number=len(history))


def within(trial: Trial, text: str, price: Price) -> bool:
    """True where a network keeps every limit as it is written."""
    plan = trial.candidate.plan
    limits = parse_budget(text).limits
    return all(price.amount(limit.quantity, plan) <= limit.amount for limit in limits)


@pytest.mark.parametrize(("options", "text"), CASES)
def test_it_ends_with_a_result_inside_every_limit_or_a_stated_refusal(
    options: Mapping[str, object], text: str
) -> None:
    lab = Lab()
    lab.measure(BASE)
    try:
        strategy = strategy_of(options, text, lab)
    except UserError as refused:
        assert text in ("10M,8ms", "60M,0.1ms") or "growth" in str(refused)
        return
    history: list[Trial] = []

    def answer(candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            history.append(answered(candidate, history))
            strategy.result(history)  # what a report asks while the study is under way

    assert drive(strategy, lambda: history, answer, measure=lab.measure).reason
    result = strategy.result(history)
    assert result is not None and result.state == "complete"
    # What arithmetic allows has been measured, so that nothing was left out for want of a time.
    legal = [
        trial
        for trial in history
        if trial.state == "complete" and within(trial, text, strategy.price)
    ]
    best = min(trial.means.nll for trial in legal if trial.means is not None)
    assert result in legal and result.means is not None and result.means.nll == best


@pytest.mark.parametrize("schedule", ["paper", "paper-all"])
def test_networks_that_were_trained_untimed_are_timed_before_the_search_ends(schedule: str) -> None:
    """As earlier versions left their records: only winners were measured."""
    lab = Lab()
    lab.measure(BASE)
    strategy = strategy_of({"schedule": schedule}, "60M,5ms", lab)
    history: list[Trial] = []

    def answer(candidates: Sequence[Candidate]) -> None:
        history.extend(answered(candidate, history) for candidate in candidates)

    drive(strategy, lambda: history, answer, measure=lab.measure)
    result, book = strategy.result(history), dict(lab.book)
    assert result is not None
    for digest in [digest for digest in book if digest != BASE.digest]:
        del lab.book[digest]
    assert strategy.result(history) == history[0]  # all that is known to be inside
    count = len(history)
    drive(strategy, lambda: history, answer, measure=lab.measure)
    assert (strategy.result(history), len(history)) == (result, count)


def test_a_network_that_no_step_offers_any_more_is_timed_too() -> None:
    lab = Lab()
    lab.measure(BASE)
    strategy = strategy_of({"schedule": "paper"}, "60M,5ms", lab)
    other = X3D.base.replace(gamma_w=1.2, gamma_b=2.0)
    plan: Plan = X3D.resolve(other, num_classes=6)
    asked = strategy.ask([])
    assert isinstance(asked, Batch)
    stray = dataclasses.replace(
        asked.candidates[0],
        genotype=other,
        plan=plan,
        macs=X3D.cost(plan).macs,
        role="expand",
    )
    assert stray.macs <= 60_000_000
    history = [scored(stray)]

    def answer(candidates: Sequence[Candidate]) -> None:
        history.extend(answered(candidate, history) for candidate in candidates)

    drive(strategy, lambda: history, answer, measure=lab.measure)
    assert plan.digest in lab.book
