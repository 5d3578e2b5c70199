"""The one loop with a strategy that trains in parts, on imaginary trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.networks.family import Limits
from expand3d.search.strategy import Batch, Done, Stop, drive, ending
from tests.helpers.race import NoRace, Race

#: Log-losses of the four networks after 8 and 16 visits and in the end: the second starts slowly.
LOSSES = {"0": (1.0, 0.9, 0.5), "1": (3.0, 2.0, 0.1), "2": (2.0, 0.8, 0.4), "3": (2.5, 2.5, 2.5)}
REACH = (8, 16, None)


def race(kind: type[Race] = Race) -> Race:
    return kind("x3d", 2, 10**9, Limits(crop=64, duration=8), None)


class Lab:
    """A record in memory, and everything that was done to it in order."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.done: list[tuple[Any, ...]] = []

    def _place(self, candidate: Candidate) -> int:
        for place, trial in enumerate(self.trials):
            if trial.candidate == candidate:
                return place
        self.trials.append(Trial(len(self.trials), "running", candidate, {}))
        return len(self.trials) - 1

    def _train(self, candidates: Sequence[Candidate], visits: int | None) -> None:
        self.done.append((visits, "".join(str(c.label) for c in candidates)))
        for candidate in candidates:
            place = self._place(candidate)
            loss = LOSSES[str(candidate.label)][REACH.index(visits)]
            run = Training("ok", None, (ClipScore("a", 0, 0, loss),), visits or 24, 0, 0.0, 0)
            trial = self.trials[place]
            runs = {**trial.trainings, TrainingKey(visits=visits): run}
            ended: dict[str, Any] = {"reached": visits} if visits else {"state": "complete"}
            self.trials[place] = replace(trial, trainings=runs, **ended)

    def answer(self, candidates: Sequence[Candidate]) -> None:
        self._train(candidates, None)

    def stop(self, candidates: Sequence[Candidate], reason: str) -> None:
        self.done.append(("stop", "".join(str(c.label) for c in candidates), reason))
        for candidate in candidates:
            place = self._place(candidate)
            self.trials[place] = replace(self.trials[place], state="stopped", reason=reason)

    def drive(self, strategy: Race) -> Done:
        return drive(
            strategy, lambda: self.trials, self.answer, advance=self._train, stop=self.stop
        )


def test_parts_are_trained_compared_and_stopped_in_turn() -> None:
    lab = Lab()
    assert lab.drive(race()).reason == "the race is over"
    assert lab.done == [
        (8, "0123"),
        ("stop", "31", "in the worse half after 8 visits"),
        (16, "02"),
        ("stop", "0", "in the worse half after 16 visits"),
        (None, "2"),
    ]
    # The record answers all of it, wherever the trials stand in it.
    lab.done.clear()
    lab.trials.reverse()
    lab.drive(race())
    assert lab.done == []


@pytest.mark.parametrize("after", range(5))
def test_it_goes_on_wherever_it_was_left(after: int) -> None:
    """Every turn leaves a record from which the rest is the same."""
    whole, lab = Lab(), Lab()
    whole.drive(race())

    class Killed(Exception):
        pass

    def until(turn: int) -> None:
        if len(lab.done) == turn:
            raise Killed

    def turns() -> list[Trial]:
        until(after)
        return lab.trials

    with pytest.raises(Killed):
        drive(race(), turns, lab.answer, advance=lab._train, stop=lab.stop)
    lab.drive(race())
    assert lab.done == whole.done and lab.trials == whole.trials


def test_a_strategy_without_parts_needs_nobody_who_trains_them() -> None:
    lab = Lab()
    drive(race(NoRace), lambda: lab.trials, lab.answer)
    assert lab.done == [(None, "0123")]
    with pytest.raises(AssertionError, match="train to 8 visits"):
        drive(race(), lambda: [], lab.answer)


def test_what_is_asked_for_again_or_stopped_twice_ends_the_loop() -> None:
    lab = Lab()
    lab.drive(race())

    class Again(Race):
        def ask(self, history: Sequence[Trial]) -> Any:
            return Batch(self.field(), "again", visits=8)

    class Twice(Race):
        def ask(self, history: Sequence[Trial]) -> Any:
            return Stop(self.field()[:1], "twice")

    with pytest.raises(AssertionError, match="asks again for what it knows"):
        lab.drive(race(Again))
    with pytest.raises(AssertionError, match="stops what does not run"):
        lab.drive(race(Twice))
    first, second = race().field()[:2]
    running = [Trial(0, "running", first, {}), Trial(1, "stopped", second, {})]
    assert ending(Stop((second, first), "late"), running) == (first,)
