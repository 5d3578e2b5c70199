"""`time_limit` is a total: over kills, unfinished trainings, the last training, and old records."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from expand3d.core.result import ClipScore, Interrupted, Training
from expand3d.execute.base import Setting
from expand3d.execute.here import Here
from expand3d.measure.throughput import Throughput
from expand3d.run.baselines import Selection, new_baselines
from expand3d.run.driver import resume_study, run_study
from expand3d.run.events import Overview
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record


class Killed(BaseException):
    """Stands for SIGKILL: nothing is written after it."""


@dataclasses.dataclass
class Lab:
    """Trainings that only let a clock go on, half a second a step."""

    length: float = 6.0
    now: float = 1_000.0
    #: Seconds of training after which the process dies.
    dies_after: float | None = None
    steps: int = 0
    last: int = 0
    dead: bool = False

    def monotonic(self) -> float:
        return self.now

    def train(
        self,
        plan: Any,
        store: Any,
        *,
        eval_indices: Any,
        stop: Callable[[], bool],
        weights_out: Any = None,
        **options: Any,
    ) -> Training:
        began = self.now
        while self.now - began < self.length:
            if stop():
                raise Interrupted("stopped")
            self.now += 0.5
            self.steps += 1
            self.last += weights_out is not None
            if self.dies_after is not None and self.now - began >= self.dies_after:
                self.dead = True
                raise Killed
        scores = tuple(ClipScore(store.keys[i], 0, i % 2, 1 / plan.crop) for i in eval_indices)
        return Training("ok", None, scores, 32, 1, self.now - began, 0)

    @property
    def seconds(self) -> float:
        return self.steps / 2


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = Lab()
    speed = Throughput(0.01, 0.01, 0.0)
    monkeypatch.setattr("expand3d.measure.throughput.calibrate", lambda *_, **__: speed)
    plan = Overview("tiny", (), (), None)
    monkeypatch.setattr("expand3d.run.driver.forecast", lambda *_, **__: plan)
    monkeypatch.setattr("expand3d.training.tasks.classify.train", made.train)
    for module in ("runner", "time_limit"):  # whichever looks at the clock
        monkeypatch.setattr(f"expand3d.run.{module}.time", made, raising=False)
    write = Record.set_attribute

    def unless_dead(self: Record, key: str, value: Any) -> None:
        if not made.dead:
            write(self, key, value)

    monkeypatch.setattr(Record, "set_attribute", unless_dead)
    return made


def reason(config: StudyConfig, lab: Lab, **changes: Any) -> str:
    """The way in which a resumed part ends; "killed" where it dies."""
    lab.dead = False
    try:
        return resume_study("tiny", root=config.root, changes=changes).reason
    except Killed:
        return "killed"


def test_killed_over_and_over_it_stops_for_ever_once_the_limit_is_spent(
    config: StudyConfig, lab: Lab
) -> None:
    """Trainings are longer than the limit, and none ever finishes."""
    limited = dataclasses.replace(config, time_limit="10s")
    lab.length, lab.dies_after = 30.0, 4.0
    with pytest.raises(Killed):
        run_study(limited)
    ends = [reason(config, lab) for _ in range(6)]
    assert ends == ["killed", "time limit", *["time limit"] * 4]
    # Two died after 4 s each, one was stopped; who dies loses its last step, of half a second.
    assert 10 <= lab.seconds <= 12
    assert {session.reason for session in Record.open("tiny", root=config.root).sessions()} == {
        None,
        "time limit",
    }
    # More time is a total too.
    lab.dies_after = None
    assert reason(config, lab, time_limit="20s") == "time limit"
    assert 20 <= lab.seconds <= 22


def test_an_interrupted_training_counts(config: StudyConfig, lab: Lab) -> None:
    limited = dataclasses.replace(config, time_limit="10s")
    lab.length = 30.0
    stops = iter([False] * 10)
    outcome = run_study(limited, stop=lambda: next(stops, True))
    assert outcome is not None and outcome.reason == "interrupted" and 0 < lab.seconds < 6
    assert [reason(config, lab) for _ in range(3)] == ["time limit"] * 3
    assert 10 <= lab.seconds <= 11


def test_the_last_training_counts(config: StudyConfig, lab: Lab) -> None:
    alone = dataclasses.replace(config, budget="20MFLOPs", final=True, time_limit="10s")
    outcome = run_study(alone)
    assert outcome is not None and outcome.reason == "time limit"
    assert 4 <= lab.last / 2 <= 5  # after the base's 6 s
    assert [reason(config, lab) for _ in range(2)] == ["time limit"] * 2
    assert 10 <= lab.seconds <= 11


def test_a_trial_that_ran_alone_counts_whole(
    config: StudyConfig, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the first step has one network, whatever the number of workers."""
    here = Here(Setting(folder=None, workers=1))  # type: ignore[arg-type]
    monkeypatch.setattr("expand3d.run.driver.executor", lambda ready: here)
    limited = dataclasses.replace(config, time_limit="10s", executor="processes", workers=2)
    outcome = run_study(limited)
    assert outcome is not None and outcome.reason == "time limit"
    assert [reason(config, lab) for _ in range(2)] == ["time limit"] * 2
    assert 10 <= lab.seconds <= 11


def test_the_time_of_an_older_record_counts_by_its_finished_trainings(
    config: StudyConfig, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = iter([False] * 20)  # one training and a part of the next
    with monkeypatch.context() as older:
        older.setattr(Record, "put_worked", lambda *_: None, raising=False)
        outcome = run_study(config, stop=lambda: next(stops, True))
    assert outcome is not None and outcome.reason == "interrupted"
    begun = lab.seconds
    assert begun > 6 and len(Record.open("tiny", root=config.root).trials()) == 2
    # 6 s are in the record, so that 4 are left of 10, and nothing of 11 after a second part.
    assert reason(config, lab, time_limit="10s") == "time limit"
    assert 4 <= lab.seconds - begun <= 5
    assert reason(config, lab, time_limit="10s") == "time limit"
    assert lab.seconds - begun <= 5


def test_baselines_have_a_time_of_their_own(config: StudyConfig, lab: Lab) -> None:
    limited = dataclasses.replace(config, time_limit="7s")
    one = Selection(names=("x2d",))
    outcome = new_baselines(limited, one)
    assert outcome is not None and lab.seconds == 6
    # The expansion's base is that network; its step of four then has seven seconds.
    assert [reason(config, lab) for _ in range(2)] == ["time limit"] * 2
    assert 13 <= lab.seconds <= 14
