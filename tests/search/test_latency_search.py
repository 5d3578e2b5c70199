"""Searches whose steps count, or whose budget limits, what only a measurement gives."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from expand3d.core.budget import parse_budget
from expand3d.core.errors import BudgetError, ConfigError
from expand3d.core.genotype import Plan
from expand3d.core.measured import Latency
from expand3d.core.trial import Candidate, Trial
from expand3d.cost.price import Price, Unmeasured
from expand3d.networks import get_family
from expand3d.search.expansion.by_latency import ATTEMPTS
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.expansion.solve import Solution, solve
from expand3d.search.samplers.optuna import Model
from expand3d.search.samplers.sampling import Sampling
from expand3d.search.samplers.space import Verdict
from expand3d.search.strategy import Batch, Done, Measure, drive
from tests.helpers.strategies import LIMITS, accuracy, scored

X3D = get_family("x3d")


class Lab:
    """An imaginary machine: time goes with activations and weights, give or take 4%, per study.

    `book` is the part of a record that holds what was measured.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.book: dict[str, Latency] = {}
        self.order: list[Plan] = []
        self._seed = seed

    def truth(self, plan: Plan) -> float:
        cost = X3D.cost(plan)
        return 0.5 + cost.activations / 4e5 + cost.macs / 5e7

    def measure(self, plan: Plan) -> None:
        assert plan.digest not in self.book, "measured twice"
        noise = random.Random(f"{self._seed} {plan.digest}").uniform(0.96, 1.04)
        median = self.truth(plan) * noise
        self.book[plan.digest] = Latency(median, median, median, 9, "cpu", "lab", 1, "none")
        self.order.append(plan)

    def known(self, plan: Plan) -> Latency | None:
        return self.book.get(plan.digest)


def price_of(text: str, lab: Lab) -> Price:
    return Price.of_budget(parse_budget(text), device="cpu", threads=1, known=lab.known)


def expansion(text: str, lab: Lab, **fields: object) -> Expansion:
    lab.known(X3D.resolve(X3D.base, num_classes=6)) or lab.measure(
        X3D.resolve(X3D.base, num_classes=6)
    )
    budget = parse_budget(text).first.amount
    return Expansion("x3d", 6, budget, LIMITS, price=price_of(text, lab), **fields)  # type: ignore[arg-type]


def run(strategy: Expansion | Sampling, lab: Lab) -> list[Trial]:
    history: list[Trial] = []

    def answer(candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            history.append(replace(scored(candidate), number=len(history)))

    drive(strategy, lambda: history, answer, measure=lab.measure)
    return history


@pytest.mark.parametrize("seed", range(4))
def test_an_expansion_doubles_the_measured_time_up_to_the_budget(seed: int) -> None:
    lab = Lab(seed=seed)
    strategy = expansion("25ms", lab)
    history = run(strategy, lab)
    steps = strategy.steps(history)
    assert len(steps) >= 3
    for trial in history:
        candidate = trial.candidate
        assert candidate.latency == lab.book[candidate.digest]
        assert candidate.cost == candidate.latency.nanoseconds <= 25_000_000
    for before, step in itertools.pairwise(steps):
        assert before.winner is not None
        target = step.offer.target
        assert all(c.cost >= 1.05 * before.winner.cost for c in step.offer.candidates)
        if target < 25_000_000:
            near = [c.cost / target for c in step.offer.candidates if c.axis != "gamma_tau"]
            assert all(1 / 1.6 < ratio < 1.6 for ratio in near)
    start = steps[0].offer.target
    row = [start * 2**step for step in range(8) if start * 2**step * 2**0.25 <= 25_000_000]
    targets = [step.offer.target for step in steps]
    assert targets[: len(row)] == row
    assert set(targets[len(row) :]) == {25_000_000}
    best = strategy.result(history)
    assert best is not None and best.candidate.cost > 0.6 * 25_000_000
    assert f"up to {'25 ms'}" in strategy.limits_text()
    assert "ms" in steps[1].offer.note()


@pytest.mark.parametrize("ratio", [1.5, 3.0, 4.0, 8.0])
@pytest.mark.parametrize("seed", range(3))
def test_an_axis_finds_a_time_that_is_several_doublings_away(ratio: float, seed: int) -> None:
    """As where a network fell short of its target; each axis in at most so many looks."""
    lab = Lab(seed=seed)
    start = X3D.base.replace(gamma_t=2, gamma_tau=7, gamma_w=1.2)
    now = X3D.resolve(start, num_classes=6)
    lab.measure(now)
    target = round(ratio * lab.book[now.digest].nanoseconds)
    price = price_of("100ms", lab)
    for axis in ("gamma_t", "gamma_d", "gamma_w", "gamma_b"):
        before = len(lab.order)
        while True:
            try:
                found = solve(
                    X3D,
                    axis,
                    start,
                    target=target,
                    ceiling=100_000_000,
                    limits=LIMITS,
                    num_classes=6,
                    price=price,
                )
                break
            except Unmeasured as missing:
                lab.measure(missing.plan)
        assert len(lab.order) - before <= ATTEMPTS
        slowest = max(lab.truth(plan) for plan in lab.order[before:])
        assert slowest < 2 * target / 1e6
        settings = list(X3D.grow(axis, start, LIMITS))
        most = lab.truth(X3D.resolve(settings[-1], num_classes=6)) * 1e6
        if isinstance(found, Solution) and most > target:
            # Frames and blocks come whole, and every look is off by up to 4%.
            assert 1 / 1.3 < found.closeness < 1.3


def test_few_networks_are_measured_and_none_that_is_far_too_slow() -> None:
    lab = Lab()
    strategy = expansion("25ms", lab)
    history = run(strategy, lab)
    steps = len(strategy.steps(history))
    assert len(lab.order) <= ATTEMPTS * 6 * steps
    assert len(lab.order) < 5 * len(history)
    assert max(lab.book[plan.digest].median for plan in lab.order) < 3 * 25


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("25ms", id="alone", marks=pytest.mark.slow),
        pytest.param("0.3GFLOPs,25ms", id="beside"),
        pytest.param("25ms,3Mparams", id="with", marks=pytest.mark.slow),
    ],
)
def test_cut_anywhere_it_goes_on_as_if_never_cut(text: str) -> None:
    """A resumed study reads what was measured, and measures only what is missing."""
    lab = Lab()
    whole = run(expansion(text, lab), lab)
    for cut in range(len(lab.order)):
        again = Lab()
        again.book = {plan.digest: lab.book[plan.digest] for plan in lab.order[: cut + 1]}
        strategy = expansion(text, again)
        asked = strategy.ask(())
        assert isinstance(asked, Batch)
        if cut % 12 == 0:
            assert run(strategy, again) == whole
            assert again.order == lab.order[cut + 1 :]


def test_what_was_measured_decides_whatever_a_new_measurement_would_say() -> None:
    lab = Lab(seed=1)
    whole = run(expansion("25ms", lab), lab)
    other = Lab(seed=2)
    other.book = dict(lab.book)
    assert run(expansion("25ms", other), other) == whole
    assert other.order == []


def test_asked_with_trials_but_without_their_latencies_it_says_what_is_missing() -> None:
    lab = Lab()
    strategy = expansion("25ms", lab)
    asked = strategy.ask([replace(scored(strategy.ask(()).candidates[0]), number=0)])  # type: ignore[union-attr]
    assert isinstance(asked, Measure)
    assert asked.plan.digest not in lab.book
    assert len(strategy.steps(())) == 1  # a reader sees the steps that there are


@pytest.mark.parametrize("schedule", ["fit", "paper"])
def test_whichever_limit_binds_first(schedule: str) -> None:
    """Parameters alone stop width and depth, but not time and space; multiply-adds go on."""
    params = X3D.cost(X3D.resolve(X3D.base, num_classes=6)).params
    text = f"0.3GFLOPs,{2 * params / 1e6}Mparams"
    strategy = expansion(text, Lab(), schedule=schedule)
    history = run(strategy, Lab())
    result = strategy.result(history)
    assert result is not None and result.candidate.macs <= 300_000_000
    plan = result.candidate.plan
    assert X3D.cost(plan).params <= 2 * params
    over = [t for t in history if X3D.cost(t.candidate.plan).params > 2 * params]
    assert not over or schedule == "paper"
    free = expansion("0.3GFLOPs", Lab())
    assert run(free, Lab()) != history


def test_a_latency_beside_multiply_adds_binds() -> None:
    lab = Lab()
    strategy = expansion("0.3GFLOPs,12ms", lab)
    history = run(strategy, lab)
    assert all(t.candidate.macs <= 300_000_000 for t in history)
    times = [t.candidate.latency.median for t in history if t.candidate.latency]
    assert len(times) == len(history) and max(times) <= 12
    assert max(times) > 8  # the budget of time is used
    assert max(t.candidate.macs for t in history) < 250_000_000  # and it is what binds
    ended = strategy.ask(history)
    assert isinstance(ended, Done) and "ms" in ended.reason


def test_the_costliest_setting_within_both_limits_is_offered() -> None:
    """By trying every setting: the largest width within 0.2 G and within a few parameters."""
    base = X3D.base
    lab = Lab()
    for limit in (2_000_000, 2_500_000, 4_000_000):
        price = price_of(f"0.2GFLOPs,{limit / 1e6}Mparams", lab)
        found = solve(
            X3D,
            "gamma_w",
            base,
            target=200_000_000,
            ceiling=200_000_000,
            limits=LIMITS,
            num_classes=6,
            price=price,
        )
        legal = [
            X3D.cost(plan).macs
            for plan in (X3D.resolve(g, num_classes=6) for g in X3D.grow("gamma_w", base, LIMITS))
            if X3D.cost(plan).macs <= 200_000_000 and X3D.cost(plan).params <= limit
        ]
        assert found.macs == max(legal)  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["3Mparams", "3Mactivations", "20MiB"])
def test_steps_can_count_other_arithmetic(text: str) -> None:
    lab = Lab()
    strategy = expansion(text, lab)
    history = run(strategy, lab)
    assert len(strategy.steps(history)) >= 2
    key = strategy.price.quantity.key
    for trial in history:
        cost = X3D.cost(trial.candidate.plan)
        assert trial.candidate.cost == getattr(cost, key) <= strategy.budget
        assert trial.candidate.price is not None and trial.candidate.macs == cost.macs


@pytest.mark.parametrize(
    "name", ["random", pytest.param("tpe", marks=pytest.mark.slow), "grid", "nsga2"]
)
def test_samplers_hold_to_every_limit(name: str) -> None:
    lab = Lab()
    expansion("25ms", lab)  # measures the base
    text = "0.3GFLOPs,12ms,3Mparams"

    def sampling(known: Lab) -> Sampling:
        return Sampling(name, "x3d", 6, 300_000_000, LIMITS, trials=9, price=price_of(text, known))

    history = run(sampling(lab), lab)
    assert len(history) > 4
    for trial in history:
        plan = trial.candidate.plan
        assert trial.candidate.latency is not None and trial.candidate.latency.median <= 12
        assert X3D.cost(plan).params <= 3_000_000 and X3D.cost(plan).macs <= 300_000_000
    again = Lab(seed=5)
    again.book = dict(lab.book)
    assert run(sampling(again), again) == history


def timed(name: str, lab: Lab, text: str = "25ms", **fields: object) -> Sampling:
    """A sampler whose first limit is measured."""
    base = X3D.resolve(X3D.base, num_classes=6)
    lab.known(base) or lab.measure(base)
    budget = parse_budget(text).first.amount
    whole = {"trials": 12, "price": price_of(text, lab), **fields}
    return Sampling(name, "x3d", 6, budget, LIMITS, **whole)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [*("random", "qmc", "grid", "nsga2", "nsga3"), pytest.param("tpe", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("text", ["25ms", "12ms,0.1GFLOPs"])
def test_samplers_propose_within_a_time_that_is_measured_first(name: str, text: str) -> None:
    lab = Lab()
    history = run(timed(name, lab, text), lab)
    assert len(history) >= (5 if name == "grid" else 12)
    budget = parse_budget(text)
    for trial in history:
        candidate = trial.candidate
        assert candidate.latency == lab.book[candidate.digest]
        assert candidate.cost == candidate.latency.nanoseconds <= budget.first.amount
        assert candidate.macs <= (budget.macs or 10**12)
    # What is measured is about as slow as what is wanted, and most of it is trained.
    assert max(lab.truth(plan) for plan in lab.order) < 5 * budget.first.amount / 1e6
    assert len(lab.order) <= 6 * len(history)


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        *((name, batch) for name in ("nsga3", "grid", "random") for batch in (1, 4)),
        *(pytest.param("tpe", batch, marks=pytest.mark.slow) for batch in (1, 4)),
    ],
)
def test_cut_after_any_measurement_a_sampler_goes_on_as_if_never_cut(name: str, batch: int) -> None:
    lab = Lab()
    whole = run(timed(name, lab, batch=batch), lab)
    for cut in range(1, len(lab.order), 7):
        again = Lab()
        again.book = {plan.digest: lab.book[plan.digest] for plan in lab.order[:cut]}
        assert run(timed(name, again, batch=batch), again) == whole
        assert again.order == lab.order[cut:]


class Waiting(Lab):
    """A device on which small networks only wait: 8 ms up to 100 times the base's activations."""

    def truth(self, plan: Plan) -> float:
        base = X3D.cost(X3D.resolve(X3D.base, num_classes=6)).activations
        return 8 * max(1.0, X3D.cost(plan).activations / (100 * base))


@pytest.mark.parametrize("kind", [Lab, pytest.param(Waiting, marks=pytest.mark.slow)])
def test_guesses_follow_a_few_networks_and_nothing_else_that_is_measured(kind: type[Lab]) -> None:
    lab = kind()
    strategy = timed("random", lab)
    while isinstance(asked := strategy.ask([_base_trial(strategy)]), Measure):
        lab.measure(asked.plan)
        points = len(lab.order)
        try:
            space = strategy.space
        except Unmeasured:
            continue
        break
    # The first networks that are measured double, the last of them alone is hopelessly slow.
    sizes = [X3D.cost(plan).activations for plan in lab.order]
    assert all(1.7 < after / before < 2.4 for before, after in itertools.pairwise(sizes))
    slow = [lab.book[plan.digest].median > 2 * 25 for plan in lab.order]
    assert slow == [False] * (points - 1) + [True]
    history = run(strategy, lab)
    assert strategy.space == space and len(lab.order) > points
    for trial in history:
        guess = space.judge(trial.candidate.genotype).price / 1e6
        assert 1 / 3 < guess / lab.truth(trial.candidate.plan) < 3
    if kind is Lab:
        return
    # 25 ms are 312 times the base's activations where the others wait, and twice that is tried.
    largest = max(
        X3D.cost(v.plan).activations for v in space.legal("random", 0, blocks=1) if v.plan
    )
    assert 312 < largest / sizes[0] < 900


def _base_trial(strategy: Sampling) -> Trial:
    asked = strategy.ask(())
    assert isinstance(asked, Batch)
    return replace(scored(asked.candidates[0]), number=0)


@pytest.mark.slow
def test_a_model_is_told_that_a_suggestion_was_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Verdict] = []
    monkeypatch.setattr(Model, "refuse", lambda model, trial, verdict: told.append(verdict))
    lab = Lab()
    run(timed("tpe", lab, "12ms", trials=20), lab)
    slow = [v for v in told if v.plan and v.plan.digest in lab.book and v.reason == "cost"]
    assert slow
    for verdict in slow:
        assert verdict.plan is not None
        nanoseconds = lab.book[verdict.plan.digest].nanoseconds
        assert nanoseconds > 12_000_000 and verdict.price == nanoseconds
        assert verdict.excess["cost"] == pytest.approx(math.log(nanoseconds / 12_000_000))


def test_compound_growth_needs_a_limit_that_arithmetic_knows() -> None:
    lab = Lab()
    with pytest.raises(ConfigError, match="single"):
        expansion("25ms", lab, growth="compound")


def test_a_budget_below_the_base() -> None:
    lab = Lab()
    with pytest.raises(BudgetError, match=r"smallest budget is .* ms"):
        expansion("1ms", lab)
    with pytest.raises(BudgetError, match="Mparams"):
        expansion("0.3GFLOPs,0.5Mparams", lab)
    with pytest.raises(Unmeasured):
        Expansion("x3d", 6, 25_000_000, LIMITS, price=price_of("25ms", Lab()))


def test_what_may_come_needs_one_measurement() -> None:
    lab = Lab()
    offers = expansion("25ms", lab).futures()[0]
    assert len(lab.order) == 1
    assert len(offers) >= 3 and offers[0].target == lab.book[lab.order[0].digest].nanoseconds
    assert all(a.target < b.target for a, b in itertools.pairwise(offers))
    assert math.isclose(accuracy(X3D.base), 0.3, abs_tol=0.01)  # the imaginary data is as it was
