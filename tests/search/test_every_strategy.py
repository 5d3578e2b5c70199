"""The contract of a strategy, `search/strategy.py`, whoever proposes."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import random
import statistics
import subprocess
import sys

import pytest

from expand3d.core.errors import BudgetError, ConfigError
from expand3d.core.plugins import STRATEGIES
from expand3d.core.process import environment
from expand3d.core.trial import BASELINE, Candidate, Trial
from expand3d.networks import get_family
from expand3d.report.frontier import Point, hypervolume
from expand3d.search.expansion import compound
from expand3d.search.samplers import sampling as samplers
from expand3d.search.samplers import simplex, space
from expand3d.search.samplers.sampling import Sampling
from expand3d.search.strategies import strategy_from_json, strategy_to_json
from expand3d.search.strategy import Batch, Done, expand_all
from tests.helpers.made_races import Killed, MadeRecord
from tests.helpers.strategies import (
    BUDGET,
    LIMITS,
    NAMES,
    TRIALS,
    VARIANTS,
    accuracy,
    failed,
    make,
    raced,
    scored,
    whole,
)

X3D = get_family("x3d")
#: Of two samplers that learn and run alike, one stands for both where a test is slow.
QUICK = tuple(name for name in STRATEGIES.using("batch") if name != "gp")
#: A Gaussian process takes seconds per network, so one test holds it to the contract at once.
ASKED_OFTEN = [*(n for n in NAMES if n not in TRIALS)]
ASKED_OFTEN += [pytest.param(name, marks=pytest.mark.slow) for name in TRIALS]
SAMPLERS_ASKED = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in TRIALS)]


def digests(trials: tuple[Trial, ...] | list[Trial]) -> list[str]:
    return [trial.candidate.digest for trial in trials]


def forget() -> None:
    """Take away what is remembered within a process, as a new process would."""
    of_factors = (space._legal, space._near_misses, space._grids, space._dimensions)
    of_shares = (simplex._at, simplex._block, simplex._grids, compound._cost, compound._settings)
    for remembered in (*of_factors, *of_shares):
        remembered.cache_clear()


def batch_of(asked: Batch | Done) -> tuple[Candidate, ...]:
    assert isinstance(asked, Batch), asked
    return asked.candidates


@pytest.mark.parametrize("name", ASKED_OFTEN)
def test_an_ask_depends_on_what_is_recorded_not_on_its_order(name: str) -> None:
    strategy, history = make(name), whole(name)
    cuts = range(len(history) + 1) if name not in TRIALS else [len(history) - 1]
    for cut in cuts:
        shuffled = list(history[:cut])
        random.Random(cut).shuffle(shuffled)
        asked = strategy.ask(shuffled)
        assert asked == strategy.ask(history[:cut])
        if cut < len(history):
            assert history[cut].candidate in batch_of(asked)
        else:
            assert isinstance(asked, Done)


@pytest.mark.parametrize("name", ASKED_OFTEN)
def test_cut_anywhere_and_continued_from_json_it_ends_as_if_never_cut(name: str) -> None:
    history = whole(name)
    cut = len(history) - 2
    forget()
    text = json.dumps(strategy_to_json(make(name)))
    again = strategy_from_json(json.loads(text))
    assert again == make(name)
    known = list(history[:cut])
    while isinstance(asked := again.ask(known), Batch):
        fresh = next(c for c in asked.candidates if c.digest not in digests(known))
        known.append(dataclasses.replace(scored(fresh), number=len(known)))
    assert known == list(history)


@pytest.mark.parametrize("name", ASKED_OFTEN)
def test_only_legal_networks_within_budget_and_data_and_none_twice(name: str) -> None:
    strategy, history = make(name), whole(name)
    assert len(set(digests(history))) == len(history)
    for trial in history:
        candidate = trial.candidate
        X3D.check(candidate.genotype)
        plan = X3D.resolve(candidate.genotype, num_classes=6)
        assert (candidate.plan, candidate.digest) == (plan, plan.digest)
        assert candidate.macs == X3D.cost(plan).macs
        assert candidate.macs <= strategy.budget or getattr(strategy, "schedule", "fit") != "fit"
        assert plan.crop <= LIMITS.crop and plan.crop % 8 == 0
        assert plan.duration <= LIMITS.duration
    result = strategy.result(history)
    assert result is not None
    inside = [t.candidate for t in history if t.candidate.macs <= strategy.budget]
    best = max(accuracy(candidate.genotype) for candidate in inside)
    assert result.candidate in inside
    assert accuracy(result.candidate.genotype) == pytest.approx(best)


@pytest.mark.parametrize("name", SAMPLERS_ASKED)
def test_a_sampler_starts_with_the_base_and_ends_after_its_trials(name: str) -> None:
    strategy, history = make(name), whole(name)
    assert history[0].candidate.role == "base"
    assert history[0].candidate.genotype == X3D.base
    assert {trial.candidate.role for trial in history[1:]} == {name}
    assert [trial.candidate.step for trial in history] == list(range(len(history)))
    assert strategy.steps(history) == ()
    if name == "grid":  # the finest grid with at most so many networks
        assert 8 <= len(history) <= 14
    else:
        assert len(history) == TRIALS.get(name, 14)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", QUICK)
def test_nothing_is_proposed_once_the_spending_limit_is_reached(name: str, batch: int) -> None:
    spend = 500_000_000
    strategy = make(name, batch=batch, spend=spend)
    history = expand_all(strategy, scored)
    macs = [trial.candidate.macs for trial in history]
    last = [t for t in history if t.candidate.step == history[-1].candidate.step]
    assert sum(macs) >= spend > sum(macs[: -len(last)])
    assert isinstance(ended := strategy.ask(history), Done)
    assert "training limit" in ended.reason
    free = expand_all(make(name, batch=batch), scored)
    if name not in ("tpe", "gp"):  # which begin to model earlier
        assert digests(history) == digests(free)[: len(history)]
    # What it plans ahead ends at the same limit.
    planned = [c.macs for offer in strategy.futures()[0] for c in offer.candidates]
    assert sum(planned) >= spend > sum(planned) - max(planned)


class Asked(Exception):
    """A sampler is asked for the first time, which knows so many networks."""


@pytest.mark.parametrize(
    ("trials", "spend", "wanted"),
    [
        (60, None, 10),  # a third of 60 is more than the most
        (14, None, 4),
        (60, 40.0, 10),  # a third of 40 networks at the budget is more than the most, too
        (60, 9.0, None),  # a third of this is 3 budgets
    ],
)
def test_a_sampler_is_asked_after_a_third_of_what_may_be_trained(
    trials: int, spend: float | None, wanted: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`spend` is in budgets; the networks until then are those of the random sampler."""

    def asked(sampler: str, space: object, trained: list[object], **_: object) -> None:
        raise Asked(len(trained))

    monkeypatch.setattr(samplers, "Model", asked)
    limit = None if spend is None else round(spend * BUDGET)
    with pytest.raises(Asked) as begun:
        expand_all(make("tpe", trials=trials, spend=limit), scored)
    (known,) = begun.value.args
    if wanted is None:
        macs = [trial.candidate.macs for trial in expand_all(make("random"), scored)]
        wanted = next(n for n in range(15) if sum(macs[:n]) >= 3 * BUDGET)
        assert 2 < wanted < 10
    assert known == wanted


@pytest.mark.parametrize("name", QUICK)
def test_the_seed_decides(name: str) -> None:
    other = digests(expand_all(make(name, seed=1), scored))
    if name == "grid":
        assert other == digests(whole(name))
    else:
        assert len(set(other) & set(digests(whole(name)))) < len(other) / 2


@pytest.mark.parametrize(
    "name", ["tpe", "nsga2", "nsga3", pytest.param("gp", marks=pytest.mark.slow)]
)
def test_models_go_where_the_gain_is(name: str) -> None:
    """Told that what is good is bad, they suggest worse networks."""
    from expand3d.search.samplers.optuna import Model, Trained

    strategy = make(name)
    assert isinstance(strategy, Sampling)
    networks = list(itertools.islice(strategy.space.legal("random", 0, blocks=1), 30))
    means = []
    for sign in (1, -1):
        trained = [
            Trained(v.genotype, v.price, sign * accuracy(v.genotype), v.point) for v in networks
        ]
        model = Model(name, strategy.space, trained, seed=0, population=10)
        found = [model.suggest()[1].genotype for _ in range(3 if name == "gp" else 20)]
        means.append(statistics.fmean(accuracy(genotype) for genotype in found))
    assert means[0] > means[1] + 0.02


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("lost", [(0,), (1, 3, 4, 7, 8), tuple(range(14))])
def test_failures_are_counted_and_survived(name: str, lost: tuple[int, ...]) -> None:
    strategy = make(name)
    numbers = iter(range(100))

    def evaluate(candidate: Candidate) -> Trial:
        return failed(candidate) if next(numbers) in lost else scored(candidate)

    history = expand_all(strategy, evaluate)
    assert len(history) == len(whole(name))
    assert len(set(digests(history))) == len(history)
    result = strategy.result(history)
    assert (result is None) == (len(lost) >= len(history))


@pytest.mark.parametrize("name", QUICK)
def test_a_batch_is_the_same_however_its_trials_finish(name: str) -> None:
    strategy = make(name, batch=4)
    base = dataclasses.replace(scored(batch_of(strategy.ask([]))[0]), number=0)
    history = [base]
    # Twelve trainings of nearly equal length, finished in an order of their own.
    for _ in range(2):
        first = batch_of(strategy.ask(history))
        assert len({candidate.digest for candidate in first}) == 4
        order = [2, 0, 3, 1]
        for done, place in enumerate(order, start=1):
            trial = dataclasses.replace(scored(first[place]), number=len(history))
            history.append(trial)
            if done < 4:
                assert batch_of(strategy.ask(history)) == first
    in_order = sorted(history, key=lambda t: (t.candidate.step or 0, t.candidate.digest))
    renumbered = [dataclasses.replace(t, number=n) for n, t in enumerate(in_order)]
    assert strategy.ask(renumbered) == strategy.ask(history)
    assert len(expand_all(strategy, scored)) == len(whole(name))


@pytest.mark.parametrize("name", QUICK)
def test_a_trial_that_still_runs_is_asked_for_again(name: str) -> None:
    strategy, history = make(name), whole(name)[:5]
    (candidate,) = batch_of(strategy.ask(history))
    running = Trial(5, "running", candidate, {"macs": candidate.macs})
    assert strategy.ask([*history, running]) == strategy.ask(history)


@pytest.mark.parametrize("name", QUICK)
def test_what_is_known_from_elsewhere_is_not_proposed(name: str) -> None:
    strategy, history = make(name), whole(name)[:4]
    (candidate,) = batch_of(strategy.ask(history))
    known = dataclasses.replace(candidate, role=BASELINE, step=None, label="ours")
    baseline = dataclasses.replace(scored(known), number=4)
    (other,) = batch_of(strategy.ask([*history, baseline]))
    assert other.digest != candidate.digest
    assert other.step == candidate.step
    # It was not proposed, so it cannot be the answer, however good it is.
    found = strategy.result([*history, baseline])
    assert found is not None and found.candidate.role != BASELINE


def test_an_end_of_the_space_is_said_with_its_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "BLOCKS", 1)
    base = X3D.cost(X3D.resolve(X3D.base, num_classes=6)).macs
    for name in QUICK:
        strategy = make(name, budget=base)
        history = expand_all(strategy, scored)
        # At one frame a crop, depth, width or bottleneck more costs more: only the base is left.
        assert len(history) == 1
        asked = strategy.ask(history)
        assert isinstance(asked, Done)
        assert "grid" in asked.reason if name == "grid" else "new network among" in asked.reason


def test_a_sampler_that_only_repeats_itself_gives_way_to_random_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from expand3d.search.samplers.optuna import Model

    asked = []
    suggest = Model.suggest

    def stubborn(self: Model) -> object:
        trial, _ = suggest(self)
        asked.append(trial)
        return trial, self._space.judge(X3D.base)

    monkeypatch.setattr(Model, "suggest", stubborn)
    monkeypatch.setitem(samplers.ATTEMPTS, "nsga2", 20)
    history = expand_all(make("nsga2", trials=6), scored)
    assert len(history) == 6
    # Four random networks come first; then two are asked for, each as often as is allowed.
    assert len(asked) == 2 * 20


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_generations_are_counted_from_the_record(name: str) -> None:
    """Optuna finds our generations: it gives the next network the number that follows."""
    from expand3d.search.samplers.optuna import Model, Trained

    trained = [Trained(t.candidate.genotype, t.candidate.macs, 0.1) for t in whole(name)[:9]]
    strategy = make(name)
    assert isinstance(strategy, Sampling)
    for count, generation in ((4, 1), (7, 1), (8, 2), (9, 2)):
        model = Model(name, strategy.space, trained[:count], seed=0, population=4)
        trial, _ = model.suggest()
        attributes = model._study.trials[trial.number].system_attrs
        assert [v for k, v in attributes.items() if k.endswith(":generation")] == [generation]
        kept = model._study._storage.get_study_system_attrs(model._study._study_id)
        parents = {key: value for key, value in kept.items() if ":parent:" in key}
        assert len(parents) == generation and all(len(v) == 4 for v in parents.values())


@pytest.mark.parametrize("name", ["tpe", pytest.param("nsga3", marks=pytest.mark.slow), "qmc"])
def test_another_process_proposes_the_same(name: str) -> None:
    code = (
        "from tests.helpers.strategies import *\n"
        f"print(*[t.candidate.digest for t in expand_all(make({name!r}), scored)])"
    )
    env = {**environment(), "PYTHONHASHSEED": "12345"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.split() == digests(whole(name)), done.stderr


RACES = [
    pytest.param(f"{name}-race", marks=() if name == "random" else pytest.mark.slow)
    for name in QUICK
]


@pytest.mark.parametrize("name", RACES)
def test_a_race_that_is_killed_at_any_turn_goes_on_to_the_same_record(name: str) -> None:
    """Begun, tested or stopped: from JSON and from the record in any order the rest follows."""
    strategy, whole = make(name), MadeRecord(raced)
    whole.run(strategy)
    assert {t.state for t in whole.trials} == {"complete", "stopped"}
    # The base has two turns. Of each eight all begin and are tested, four are stopped, four tested,
    # two stopped, two trained to their end.
    every = range(0, 2 + 2 * (8 + 8 + 4 + 4 + 2 + 2), 3)
    again = strategy_from_json(json.loads(json.dumps(strategy_to_json(strategy))))
    for cut in every if name == "random-race" else (5, 25):
        record = MadeRecord(raced, turns=cut)
        with contextlib.suppress(Killed):
            record.run(strategy)
        record.turns = None
        shuffled = random.Random(cut).sample(record.trials, len(record.trials))
        asked = again.ask(record.trials)
        assert again.ask(shuffled) == asked
        record.run(again)
        assert record.trials == whole.trials


def test_illegal_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="tpe"):
        make("tpee")
    with pytest.raises(ConfigError, match="trials = 0"):
        make("tpe", trials=0)
    with pytest.raises(BudgetError, match=r"smallest budget is 19\.86 MMACs"):
        make("random", budget=10**7)


def test_a_samplers_future_counts_what_is_proposed() -> None:
    for name in QUICK:
        (offers,) = make(name).futures()
        assert sum(len(offer.candidates) for offer in offers) == len(whole(name))
        costs = [candidate.macs for candidate in offers[1].candidates]
        assert costs == sorted(costs, reverse=True)
    assert len(make("tpe", trials=1).futures()[0]) == 1


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in ("both", "paper-all") else ())
        for name in ["expand", *VARIANTS, *QUICK]
    ],
)
def test_futures_go_on_from_the_record(name: str) -> None:
    strategy, history = make(name), whole(name)
    for cut in (0, 1, len(history) // 2, len(history) - 1):
        known = set(digests(history[:cut]))
        futures = strategy.futures(history[:cut])
        steps = strategy.steps(history[:cut])
        for offers in futures:
            # What was decided stays, the open step is the one that is asked for.
            assert [o.candidates for o in offers[: len(steps)]] == [
                step.offer.candidates for step in steps
            ]
            foreseen = [c.digest for offer in offers for c in offer.candidates]
            assert known <= set(foreseen) and set(foreseen) - known
            if name in QUICK:
                assert len(foreseen) == len(set(foreseen)) == len(history)
    for offers in strategy.futures(history):
        assert {c.digest for offer in offers for c in offer.candidates} == set(digests(history))


def area(name: str, seed: int, draw: str) -> float:
    history = expand_all(make(name, seed=seed, trials=40, draw=draw), scored)
    points = [Point(accuracy(t.candidate.genotype), t.candidate.macs) for t in history]
    return hypervolume(points, Point(1 / 6, 2 * make(name).budget))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "names"),
    [
        ("factors", ("tpe", "nsga2")),
        ("shares", ("tpe",)),  # where chance does better than four generations that are bred
    ],
)
def test_what_learns_dominates_more_than_chance_does(draw: str, names: tuple[str, ...]) -> None:
    """Hypervolume after 40 networks, averaged over seeds, against random's median."""
    seeds = range(4)
    chance = statistics.median(area("random", seed, draw) for seed in seeds)
    for name in names:
        assert statistics.fmean(area(name, seed, draw) for seed in seeds) > chance
