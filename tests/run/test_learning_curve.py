"""The winner trained on parts of the clips: which clips, how often, and what the record keeps."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from expand3d.core.errors import StudyError
from expand3d.core.recipe import get_profile
from expand3d.core.result import TrainingKey
from expand3d.execute.evaluate import Bench, Job
from expand3d.report.study.view import load_view
from expand3d.run.driver import resume_study, run_study
from expand3d.run.learning_curve import SHARES, learn_curve, on_part, part_of
from expand3d.study.config import StudyConfig
from tests.helpers.study_config import stop_after

#: 12 clips of class 0, 6 of class 1, one of class 2; clip 19 is held out.
LABELS = [0] * 12 + [1] * 6 + [2, 0]
STORE: Any = SimpleNamespace(labels=LABELS)
JOB = Job(TrainingKey(), tuple(range(19)), (19,), seed=4)


def test_parts_hold_their_share_of_each_class_and_the_smaller_parts() -> None:
    parts = [set(part_of(JOB, STORE, share).train) for share in SHARES]
    counts = [[sum(LABELS[c] == label for c in part) for label in range(3)] for part in parts]
    assert counts == [[3, 2, 1], [6, 3, 1], [12, 6, 1]]
    assert parts[0] < parts[1] < parts[2] == set(JOB.train)
    other = part_of(dataclasses.replace(JOB, seed=5), STORE, 0.25)
    assert set(other.train) != parts[0] and other.held_out == JOB.held_out


def test_every_part_is_visited_as_often_in_all() -> None:
    recipe = get_profile("quick", {"clip_visits": None, "epochs": 4})
    bench = Bench(STORE, recipe, (JOB,), "cpu", 1, "f")
    found = [on_part(bench, share) for share in SHARES]
    assert [each.recipe.visits_for(len(each.jobs[0].train)) for each in found] == [76, 76, 76]


@pytest.mark.slow
def test_a_finished_study_has_a_curve_of_its_winner(config: StudyConfig) -> None:
    config = dataclasses.replace(config, budget="0.021GFLOPs", init="parent")
    ended = run_study(config, stop=stop_after(3))
    assert ended is not None and not ended.finished
    with pytest.raises(StudyError, match="is not finished"):
        learn_curve("tiny", root=config.root)
    assert resume_study("tiny", root=config.root).finished
    before = load_view("tiny", root=config.root)
    assert before.learning == {}
    assert not learn_curve("tiny", root=config.root, stop=stop_after(4)).finished
    assert learn_curve("tiny", root=config.root).finished
    view = load_view("tiny", root=config.root)
    counts = list(view.learning)
    assert len(counts) == 3 and counts[0] < counts[1] < counts[2]
    assert [trial.number for trial in view.trials] == [trial.number for trial in before.trials]
    assert view.best is not None and view.best.scores() == before.best.scores()  # type: ignore[union-attr]
    visits = {run.clip_visits for t in view.learning.values() for run in t.trainings.values()}
    assert visits == {16}
