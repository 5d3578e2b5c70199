"""A sampler's batch races: who goes on, what that takes, and what a model is told of it."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence

import pytest

from expand3d.core.result import ClipScore, Training
from expand3d.core.trial import Candidate, Trial
from expand3d.search.samplers import sampling
from expand3d.search.samplers.halving import Halving
from expand3d.search.samplers.sampling import Sampling
from expand3d.search.samplers.trained import Trained
from expand3d.search.strategy import Batch, Stop, answers
from tests.helpers.made_races import MadeRecord
from tests.helpers.scored_trials import candidate_of
from tests.helpers.strategies import BUDGET, RACE_RUNGS, RACE_VISITS, make, raced

#: Multiply-adds of eight networks, and their log-loss after 250 and after 500 visits.
FIELD = {
    "A": (10, 1.00, 0.90),
    "B": (20, 0.90, 0.95),
    "C": (40, 0.50, 0.30),
    "D": (80, 0.40, 0.35),
    "E": (10, 1.20),
    "F": (20, 1.10),
    "G": (40, 0.95),
    "H": (80, 0.45),
}


def network(name: str) -> Candidate:
    place = list(FIELD).index(name)
    return candidate_of(macs=10**6 * int(FIELD[name][0]), label=name, repeat=place, role="random")


def score(candidate: Candidate, visits: int | None) -> Training:
    loss = FIELD[str(candidate.label)][RACE_RUNGS.index(visits) + 1] if visits else 0.1
    return Training("ok", None, (ClipScore("c", 0, 0, loss),), visits or 1000, 0, 0.0, 0)


def move(record: MadeRecord, race: Halving) -> tuple[int | None, str] | Stop:
    """The next move of the eight, which is made: to how many visits who is trained, or a stop."""
    known = answers(record.trials)
    asked = race.ask([network(name) for name in FIELD], record.trials, known, "eight")
    if isinstance(asked, Stop):
        record.stop(asked.candidates, asked.reason)
        return asked
    there = answers(record.trials, asked.visits)
    wanted = [c for c in asked.candidates if c.digest not in there]
    if asked.visits is None:
        record.answer(wanted)
    else:
        record.advance(wanted, asked.visits)
    return asked.visits, "".join(sorted(str(c.label) for c in wanted))


def names(stop: tuple[int | None, str] | Stop) -> str:
    assert isinstance(stop, Stop), stop
    return "".join(sorted(str(c.label) for c in stop.candidates))


def test_the_survivors_of_a_generation_by_hand() -> None:
    """At 250 visits A, B, C and D are the front; at 500 A and C, whom B and D are behind."""
    record, race = MadeRecord(score), Halving(RACE_RUNGS, "nll", 1000)
    assert move(record, race) == (250, "ABCDEFGH")
    stop = move(record, race)
    assert names(stop) == "EFGH" and isinstance(stop, Stop)
    assert stop.reason == "not among the best 4 of 8 by cost and log-loss after 250 visits"
    assert move(record, race) == (500, "ABCD")
    assert names(move(record, race)) == "BD"
    assert move(record, race) == (None, "AC")


def test_one_that_fails_takes_no_place() -> None:
    """Without C the front of three is joined by the next front's most accurate, H."""

    def fails(candidate: Candidate, visits: int | None) -> Training:
        if candidate.label == "C":
            return Training("diverged", "the loss is no number", (), 8, 0, 0.0, 0)
        return score(candidate, visits)

    record, race = MadeRecord(fails), Halving(RACE_RUNGS[:1], "nll", 1000)
    assert move(record, race) == (250, "ABCDEFGH")
    assert names(move(record, race)) == "EFG"
    assert move(record, race) == (None, "ABDH")


def test_visits_of_a_generation_and_how_many_reach_the_end() -> None:
    race = Halving((250, 500), "nll", 1000)
    assert race.taken(8) == 8 * 250 + 4 * 250 + 2 * 500
    assert race.taken(3) == 3 * 250 + 2 * 250 + 1 * 500
    assert race.to_the_end(30, 8) == 1 + 2 + 2 + 2 + 2  # batches of 8, 8, 8 and 5
    assert Halving((), "nll", 1000).to_the_end(30, 8) == 30


@pytest.fixture(scope="module")
def whole() -> MadeRecord:
    record = MadeRecord(raced)
    record.run(make("random-race"))
    return record


def spent(trials: Sequence[Trial]) -> int:
    return sum(
        t.candidate.macs * (RACE_VISITS if t.state == "complete" else t.reached) for t in trials
    )


def test_a_search_races_batch_by_batch(whole: MadeRecord) -> None:
    states = [(t.candidate.step, t.state, t.reached) for t in whole.trials]
    assert len(states) == 17 and states[0] == (0, "complete", 0)
    for step in (1, 2):
        ends = sorted(state[1:] for state in states if state[0] == step)
        assert ends == sorted(
            [("stopped", 250)] * 4 + [("stopped", 500)] * 2 + [("complete", 500)] * 2
        )
    result = make("random-race").result(whole.trials)
    assert result is not None and result.state == "complete"


def test_the_limit_counts_the_visits_that_were_spent(whole: MadeRecord) -> None:
    """Stopped networks count what they had, so that more are proposed than would be otherwise."""
    limit = 2 * BUDGET
    strategy = make("random-race", trials=100, spend=limit)
    record = MadeRecord(raced)
    record.run(strategy)
    last = max(t.candidate.step or 0 for t in record.trials)
    before = [t for t in record.trials if t.candidate.step != last]
    assert spent(before) < limit * RACE_VISITS <= spent(record.trials)
    (offers,) = strategy.futures()
    base, ahead = (offer.candidates for offer in offers)
    # On average one of a batch takes half of a whole training's visits.
    used = [base[0].macs, *(c.macs / 2 for c in ahead)]
    assert sum(used) >= limit > sum(used) - max(used)


def test_a_model_is_told_of_whole_trainings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[Trained]] = []
    model = sampling.Model

    def spy(sampler: str, space: object, trained: list[Trained], **rest: int) -> object:
        told.append(list(trained))
        return model(sampler, space, trained, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sampling, "Model", spy)
    record = MadeRecord(raced)
    record.run(make("tpe-race"))
    # After the base and one batch, of which two were trained to their end.
    assert [len(networks) for networks in told] == [3]
    complete = [t for t in record.trials if t.state == "complete" and t.candidate.step in (0, 1)]
    losses = {t.candidate.genotype: t.means.nll for t in complete if t.means}
    assert {one.genotype: -one.gain for one in told[0]} == losses


def test_without_a_race_it_is_written_as_ever() -> None:
    plain, racing = make("tpe"), make("tpe-race")
    assert isinstance(racing, Sampling)
    assert not {"rungs", "visits"} & plain.to_json().keys()
    assert racing.to_json()["visits"] == RACE_VISITS
    assert Sampling.from_json(racing.to_json()) == racing
    old: Mapping[str, object] = {k: v for k, v in plain.to_json().items() if k != "draw"}
    assert Sampling.from_json(old) == dataclasses.replace(plain, draw="factors")  # type: ignore[type-var]


def test_more_trials_go_on_from_a_finished_race(whole: MadeRecord) -> None:
    """The last batch was short: what joins it later races with what was stopped before."""
    record = MadeRecord(raced)
    record.run(make("random-race", trials=12))  # the base, eight and three
    longer = make("random-race", trials=17)
    asked = longer.ask(record.trials)
    assert isinstance(asked, Batch) and asked.visits == 250
    record.run(longer)
    assert [t.candidate for t in record.trials] == [t.candidate for t in whole.trials]
    assert {t.state for t in record.trials} == {"complete", "stopped"}
    shuffled = random.Random(1).sample(record.trials, len(record.trials))
    assert longer.ask(shuffled) == longer.ask(record.trials)
