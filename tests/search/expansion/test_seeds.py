"""Close networks of a race's step get further seeds, and their means decide."""

from __future__ import annotations

import contextlib
import json
import random
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from expand3d.core.errors import ConfigError
from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.expansion.seeds import CLOSE, of_seeds, pooled, with_seed
from expand3d.search.statistics import estimate
from expand3d.search.strategies import strategy_from_json, strategy_to_json
from expand3d.study.config import StudyConfig
from tests.helpers.made_races import Killed, MadeRecord

RUNGS, WHOLE, CLIPS = (250, 500), 1000, 40
#: Losses of the networks of an axis by seed; those of others are 1 more.
LOSSES = {
    "gamma_w": (1.00, 1.20, 1.21),  # the best by its first seed alone
    "gamma_s": (1.02, 1.01, 1.00),
    "gamma_b": (1.03, 1.30, 1.31),
}
#: Losses of the seeds of the base, which lie as far apart as those.
BASE = (2.1, 1.9, 2.05, 1.95, 2.15, 1.85)


def made(
    candidate: Candidate, visits: int | None, *, losses: dict[str, tuple[float, ...]]
) -> Training:
    seed = candidate.repeat or 0
    if candidate.role == "base":
        loss = BASE[seed]
    else:
        loss = losses.get(candidate.axis or "", (2.0,) * 9)[seed] - 0.1 * (candidate.step or 0)
    hard = np.random.default_rng(7).uniform(0, 1, CLIPS)
    scores = tuple(ClipScore(f"c{n:02d}", 0, 0, float(loss + hard[n])) for n in range(CLIPS))
    done = visits or WHOLE
    return Training("ok", None, scores, done, 3 * done * candidate.macs, 0.0, 0)


@pytest.fixture(scope="module")
def strategy() -> Expansion:
    return Expansion("x3d", 4, 45_000_000, rungs=RUNGS, more_seeds=2)


@pytest.fixture(scope="module")
def settled(strategy: Expansion) -> MadeRecord:
    record = MadeRecord(partial(made, losses=LOSSES))
    record.run(strategy)
    return record


def seeds_of(record: MadeRecord) -> list[tuple[Any, ...]]:
    return sorted(
        (str(t.candidate.axis), t.candidate.repeat, t.state)
        for t in record.trials
        if t.candidate.repeat is not None and t.candidate.role != "base"
    )


def test_the_mean_decides_and_nobody_but_the_close_ones_pays(
    strategy: Expansion, settled: MadeRecord
) -> None:
    """Three are close after one seed, and still after two. By one seed gamma_w would have won."""
    assert CLOSE == 3
    assert seeds_of(settled) == [
        (axis, repeat, "complete")
        for axis in ("gamma_b", "gamma_s", "gamma_w")
        for repeat in (1, 2)
    ]
    step = strategy.steps(settled.trials)[1]
    assert [t.candidate.axis for t in step.ranked[:3]] == ["gamma_s", "gamma_w", "gamma_b"]
    assert step.close == 3 and "compared by means of up to 3 seeds" in step.text
    hard = np.random.default_rng(7).uniform(0, 1, CLIPS).mean()
    assert estimate(step.ranked[0]).nll == pytest.approx(1.01 - 0.1 + hard)
    result = strategy.result(settled.trials)
    assert result is not None and result.candidate.axis == "gamma_s"
    assert result.candidate.repeat is None
    assert set(result.furthest) == {TrainingKey(0, repeat) for repeat in range(3)}
    alone = MadeRecord(partial(made, losses=LOSSES))
    plain = replace(strategy, more_seeds=0)
    alone.run(plain)
    won = plain.result(alone.trials)
    assert won is not None and won.candidate.axis == "gamma_w" and not seeds_of(alone)


def test_a_fourth_that_was_as_lucky_does_not_win_without_further_seeds(
    strategy: Expansion,
) -> None:
    """gamma_d is fourth by its one seed, and better than the means of the three before it."""
    lucky = {**LOSSES, "gamma_s": (1.02, 1.2, 1.2), "gamma_d": (1.04, 9.0, 9.0)}
    record = MadeRecord(partial(made, losses=lucky))
    record.run(strategy)
    step = strategy.steps(record.trials)[1]
    assert [t.candidate.axis for t in step.ranked] == [
        *("gamma_w", "gamma_s", "gamma_b", "gamma_d"),
        *(t.candidate.axis for t in step.ranked[4:]),
    ]
    result = strategy.result(record.trials)
    assert result is not None and result.candidate.axis == "gamma_w"
    assert step.choice is not None and step.choice.best.candidate.axis == "gamma_w"


def test_what_is_surely_better_needs_no_further_seeds(strategy: Expansion) -> None:
    record = MadeRecord(partial(made, losses={"gamma_w": (0.5,)}))
    record.run(strategy)
    assert not seeds_of(record)
    step = strategy.steps(record.trials)[1]
    assert step.winner is not None and step.winner.axis == "gamma_w" and step.close == 0


def test_a_step_waits_for_the_seeds_and_says_so(strategy: Expansion) -> None:
    whole = MadeRecord(partial(made, losses=LOSSES))
    whole.run(strategy)
    before = [t for t in whole.trials if t.candidate.repeat is None or t.candidate.role == "base"]
    step = strategy.steps(before)[1]
    assert step.pending and not step.ranked and step.whole is None
    assert "the best are close and get further seeds" in step.text
    asked: Any = strategy.ask(before)
    assert [(c.axis, c.repeat) for c in asked.candidates] == [
        ("gamma_w", 1),
        ("gamma_s", 1),
        ("gamma_b", 1),
    ]
    assert "gamma_w, gamma_s, gamma_b are close" in asked.note


def test_a_step_counts_all_seeds_and_compares_with_one_of_each(
    strategy: Expansion, settled: MadeRecord
) -> None:
    step = strategy.steps(settled.trials)[1]
    mine = [t for t in settled.trials if t.candidate.step == 1]
    assert step.spent == sum(max(r.training_macs for r in t.trainings.values()) for t in mine)
    assert step.whole == 3 * WHOLE * sum(c.macs for c in step.offer.candidates)


def test_killed_at_any_turn_it_goes_on_to_the_same_record(
    strategy: Expansion, settled: MadeRecord
) -> None:
    again = strategy_from_json(json.loads(json.dumps(strategy_to_json(strategy))))
    assert again == strategy
    for cut in range(0, 70, 9):
        record = MadeRecord(partial(made, losses=LOSSES), turns=cut)
        with contextlib.suppress(Killed):
            record.run(strategy)
        record.turns = None
        shuffled = random.Random(cut).sample(record.trials, len(record.trials))
        assert again.ask(shuffled) == again.ask(record.trials)
        record.run(again)
        assert record.trials == settled.trials


def test_trials_are_pooled_by_network_where_both_are_whole() -> None:
    candidate = Expansion("x3d", 4, 30_000_000).base()

    def trial(number: int, state: Any, seed: int | None) -> Trial:
        its = candidate if seed is None else with_seed(candidate, seed)
        run = made(its, None, losses={})
        return Trial(number, state, its, {}, {TrainingKey(0, seed or 0): run})

    one, other, failed = trial(0, "complete", None), trial(1, "complete", 1), trial(2, "failed", 2)
    (both, left) = pooled([other, failed, one])
    assert (left, both.number) == (one, 0) or (both, left.number) == (failed, 0)
    joined = next(t for t in pooled([one, other, failed]) if t.number == 0)
    assert set(joined.trainings) == {TrainingKey(0, 0), TrainingKey(0, 1)}
    assert of_seeds(joined, 1).trainings == one.trainings
    assert pooled([other]) == [other]
    running = replace(one, state="running")
    assert pooled([running, other]) == [running, other]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"more_seeds": 2}, "more_seeds = 2 does nothing without race = true"),
        ({"more_seeds": 2, "race": True, "init": "parent"}, "leave one of them out"),
        (
            {"more_seeds": 2, "race": True, "strategy": "tpe"},
            "more_seeds = 2 does nothing with strategy = 'tpe'",
        ),
    ],
)
def test_where_nobody_is_close_it_is_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        StudyConfig(budget="0.1GFLOPs", **keys)


def test_without_further_seeds_it_is_written_as_ever(strategy: Expansion) -> None:
    assert "more_seeds" not in replace(strategy, more_seeds=0).to_json()
    assert strategy.to_json()["more_seeds"] == 2
