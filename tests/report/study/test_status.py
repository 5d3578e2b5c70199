"""`status --json`: the curves of every training."""

from __future__ import annotations

import dataclasses
import json

from expand3d.core.result import TrainingKey
from expand3d.report.study.status import status_json
from expand3d.report.study.view import StudyView
from tests.helpers.scored_trials import trial_of

ROWS = tuple({"epoch": e, "loss": 2 / e, "accuracy": e / 4, "lr": 0.1} for e in (1, 2, 3))


def test_every_trial_has_the_curve_of_its_longest_training() -> None:
    trial = trial_of([1, 0])
    (run,) = trial.trainings.values()
    runs = {
        TrainingKey(0, 0, visits=8): dataclasses.replace(run, curve=ROWS[:1]),
        TrainingKey(0, 0): dataclasses.replace(run, curve=ROWS),
        TrainingKey(1, 0): dataclasses.replace(run, curve=ROWS[:2]),
    }
    view = StudyView(
        name="finch",
        state="running",
        family="x3d",
        budget=10**9,
        budget_text="1G",
        metric="nll",
        classes=("a", "b"),
        trials=(dataclasses.replace(trial, trainings=runs, cost={"params": 1}),),
    )
    told = json.loads(json.dumps(status_json(view)))
    assert told["trials"][0]["curves"] == {"0/0": list(ROWS), "1/0": list(ROWS[:2])}
