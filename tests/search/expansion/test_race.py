"""Candidates of a step race: what is trained how far, what is stopped, and what decides that."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from expand3d.core.errors import ConfigError
from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.expansion.race import SEEDS, Race
from expand3d.search.strategy import Batch, Stop, drive
from expand3d.study.config import StudyConfig
from tests.helpers.made_races import MadeRecord

RUNGS = (125, 250, 500)
CLIPS = 60
#: How much better than others a network is that grew on an axis last, in nats.
GAINS = {"gamma_w": 0.5, "gamma_t": 0.1, "gamma_b": 0.1, "gamma_s": 0.0}


def made(candidate: Candidate, visits: int | None, *, spread: float = 0.001) -> Training:
    """The loss of each clip by network, seed and visits."""
    rng = np.random.default_rng(int(candidate.digest[:8], 16))
    seed = rng.normal(0, spread)
    rng = np.random.default_rng(7)  # the clips are the same for everybody
    hard = rng.uniform(0, 1, CLIPS)
    loss = 3 - GAINS.get(candidate.axis or "", 0.0) - 0.1 * (candidate.step or 0) + seed
    scores = tuple(ClipScore(f"clip{n:02d}", n % 4, 0, float(loss + hard[n])) for n in range(CLIPS))
    done = visits or 1000
    return Training("ok", None, scores, done, 3 * done * candidate.macs, 0.0, 0)


@pytest.fixture(scope="module")
def strategy() -> Expansion:
    return Expansion("x3d", 4, 90_000_000, rungs=RUNGS)


@pytest.fixture(scope="module")
def raced(strategy: Expansion) -> MadeRecord:
    record = MadeRecord(made)
    record.run(strategy)
    return record


def spent(record: MadeRecord) -> int:
    return sum(max(run.training_macs for run in t.trainings.values()) for t in record.trials)


def test_the_winner_is_that_of_whole_trainings_for_less(
    strategy: Expansion, raced: MadeRecord
) -> None:
    whole = MadeRecord(made)
    whole.run(replace(strategy, rungs=()))
    won, winner = strategy.result(raced.trials), replace(strategy, rungs=()).result(whole.trials)
    assert won is not None and winner is not None
    assert won.candidate.digest == winner.candidate.digest and won.state == "complete"
    networks = [t for t in raced.trials if t.candidate.repeat is None]
    assert {t.candidate.digest for t in networks} == {t.candidate.digest for t in whole.trials}
    assert spent(raced) < 0.6 * spent(whole)


def test_each_step_trains_its_winner_to_the_end_and_says_who_was_stopped_when(
    strategy: Expansion, raced: MadeRecord
) -> None:
    for step in strategy.steps(raced.trials)[1:]:
        assert step.winner is not None and step.winner.axis == "gamma_w"
        others = [t for t in step.trials if t and t.candidate.digest != step.winner.digest]
        assert {t.state for t in others} == {"stopped"}
        assert {t.reached for t in others} == {125}
        assert "the others were stopped as worse" in step.text
        assert "gamma_b: stopped: surely worse than gamma_w after 125 visits" in step.text
        assert "failed" not in step.text
        assert step.choice is not None and step.choice.sure is None


def test_a_step_says_what_it_took_and_what_whole_trainings_would_have(
    strategy: Expansion, raced: MadeRecord
) -> None:
    whole = MadeRecord(made)
    whole.run(replace(strategy, rungs=()))
    there = replace(strategy, rungs=()).steps(whole.trials)
    for step, plain in zip(strategy.steps(raced.trials)[1:], there[1:], strict=True):
        won = step.winner
        assert won is not None
        others = [c.macs for c in step.offer.candidates if c is not won]
        assert step.spent == 3 * (1000 * won.macs + 125 * sum(others))  # tests are free here
        assert step.whole == plain.spent == plain.whole
        assert "of the" in step.price_text and plain.price_text == ""


def test_the_base_shows_the_spread_between_seeds_which_are_no_networks(
    strategy: Expansion, raced: MadeRecord
) -> None:
    seeds = [t for t in raced.trials if t.candidate.repeat is not None]
    assert [t.candidate.repeat for t in seeds] == list(range(1, SEEDS))
    assert {t.state for t in seeds} == {"stopped"} and {t.reached for t in seeds} == {500}
    base = strategy.base()
    found = Race(RUNGS, "nll").spread(base, {t.candidate.digest: t for t in raced.trials}, 250)
    losses = [
        np.mean([score.nll for score in made(c, 250).scores])
        for c in (base, *Race(RUNGS, "nll").seeds(base))
    ]
    assert found == (pytest.approx(np.std(losses, ddof=1)), SEEDS - 1)


def test_nobody_is_stopped_where_seeds_move_scores_as_much_as_axes_do(strategy: Expansion) -> None:
    record = MadeRecord(partial(made, spread=0.5))
    record.run(strategy)
    networks = [t for t in record.trials if t.candidate.repeat is None]
    assert {t.state for t in networks} == {"complete"}
    assert all(len(t.trainings) == 4 for t in networks)  # three rungs, and the end


def test_a_killed_race_goes_on_as_it_was(strategy: Expansion, raced: MadeRecord) -> None:
    """Whatever was recorded of it, in any order, the rest leads to the same record."""

    class Killed(Exception):
        pass

    for looks in (1, 3, 5, 8):
        record, left = MadeRecord(made), looks

        def kill(batch: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        with pytest.raises(Killed):
            record.run(strategy, kill)
        asked = strategy.ask(record.trials)
        shuffled = random.Random(looks).sample(record.trials, len(record.trials))
        assert strategy.ask(shuffled) == asked
        if isinstance(asked, Batch) and asked.visits:  # one of a batch was trained, others not
            open_ones = [c for c in asked.candidates if c.digest not in _digests(record)]
            record.advance(open_ones[:1], asked.visits)
        record.run(strategy)
        assert record.trials == raced.trials


def test_of_those_to_be_stopped_some_may_be_already(strategy: Expansion, raced: MadeRecord) -> None:
    record = MadeRecord(made)
    stops: list[Stop] = []

    def stop(candidates: Sequence[Candidate], reason: str) -> None:
        record.stop(candidates[:1], reason)  # killed after the first of them
        stops.append(Stop(tuple(candidates), reason))

    drive(strategy, lambda: record.trials, record.answer, advance=record.advance, stop=stop)
    assert record.trials == raced.trials
    assert len(stops) > 2


def test_a_network_that_fails_has_lost(strategy: Expansion) -> None:
    record = MadeRecord(made)

    def advance(candidates: Sequence[Candidate], visits: int) -> None:
        record.advance([c for c in candidates if c.axis != "gamma_w"], visits)
        for c in (c for c in candidates if c.axis == "gamma_w"):
            record.trials.append(
                Trial(len(record.trials), "failed", c, {"macs": c.macs}, reason="diverged")
            )

    drive(strategy, lambda: record.trials, record.answer, advance=advance, stop=record.stop)
    steps = strategy.steps(record.trials)[1:]
    assert all(step.winner and step.winner.axis != "gamma_w" for step in steps)
    assert any("failed: gamma_w: diverged" in step.text for step in steps)


def test_mean_class_accuracy_counts_each_class_alike() -> None:
    """19 clips of one class, where A is right, outweigh 2 of another unless classes count alike."""
    from expand3d.search.expansion.race import _losses

    labels = [0] * 19 + [1] * 2
    right = {"a": [True] * 19 + [False] * 2, "b": [False] * 10 + [True] * 11}
    trials = []
    for name, hits in right.items():
        scores = tuple(
            ClipScore(f"{n:02d}", labels[n], 0 if hit else 1, 1.0) for n, hit in enumerate(hits)
        )
        run = Training("ok", None, scores, 1, 1, 0.0, 0)
        candidate = replace(Expansion("x3d", 2, 30_000_000).base(), label=name)
        trials.append(Trial(0, "complete", candidate, {}, {TrainingKey(): run}))
    losses, groups, weights = _losses(trials, "mean_class")
    assert list(losses @ weights / weights.sum()) == [
        pytest.approx(-(1 + 0) / 2),
        pytest.approx(-(9 / 19 + 1) / 2),
    ]
    assert len(set(groups)) == 21


def _digests(record: MadeRecord) -> set[str]:
    return {trial.candidate.digest for trial in record.trials}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"rungs": [125]}, "rungs = .* does nothing without race = true"),
        ({"race": True, "rungs": [1000]}, "rungs = 1000 must be below the recipe's 1000 visits"),
        ({"race": True, "beam": 2}, "beam = 2 expands more than the best"),
        ({"race": True, "strategy": "tpe", "batch": 1}, "batch = 1 there are no others"),
        ({"rungs": [125], "strategy": "tpe"}, "rungs = .* does nothing without race = true"),
        ({"race": True, "strategy": "tabulate"}, "leave it out, or choose 'expand', which uses it"),
        (
            {"race": True, "recipe": {"epochs": 3}},
            "race = true cuts a training of recipe.clip_visits into rungs",
        ),
    ],
)
def test_what_cannot_race_is_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        StudyConfig(budget="0.1GFLOPs", **keys)


def test_rungs_are_whole_batches_and_weights_are_averaged() -> None:
    config = StudyConfig(budget="0.1GFLOPs", race=True)
    recipe = config.training_recipe()
    assert recipe.anneal == "average"
    assert config.race_rungs() == tuple(
        round(recipe.clip_visits / share / recipe.batch) * recipe.batch  # type: ignore[operator]
        for share in (4, 2)
    )
    named = StudyConfig(
        budget="0.1GFLOPs", race=True, rungs=[500, 250], recipe={"anneal": "cosine"}
    )
    assert named.race_rungs() == (250, 500)
    assert named.training_recipe().anneal == "cosine"


def test_a_strategy_without_a_race_is_written_as_ever(strategy: Expansion) -> None:
    plain = replace(strategy, rungs=()).to_json()
    assert not {"rungs", "repeats", "inherit"} & plain.keys()
    assert Expansion.from_json(strategy.to_json()) == strategy
    assert Expansion.from_json(plain) == replace(strategy, rungs=())
