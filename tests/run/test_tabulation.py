"""A table as a study: every network of the closure, every rung, both parts; stopped and resumed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import ConfigError
from expand3d.run.driver import resume_study, run_study
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record
from tests.helpers.study_config import stop_after

pytestmark = pytest.mark.usefixtures("light")


@pytest.fixture
def table(config: StudyConfig) -> StudyConfig:
    """The base alone with two seeds, each tested after one and three of four steps, and then."""
    recipe = {**config.recipe, "clip_visits": 32, "anneal": "branch"}
    return dataclasses.replace(
        config,
        strategy="tabulate",
        budget="0.0205GFLOPs",
        recipe=recipe,
        rungs=(8, 24),
        repeats=2,
        repeated=1,
        score_test=True,
    )


def trained(root: str) -> list[Any]:
    record = Record.open("tiny", root=root)
    return [
        (t.number, t.state, t.candidate, {str(k): v.scores for k, v in t.trainings.items()})
        for t in record.trials()
    ]


def test_every_network_has_every_rung_on_both_parts(table: StudyConfig) -> None:
    outcome = run_study(table)
    assert outcome is not None and outcome.finished
    trials = Record.open("tiny", root=table.root).trials()
    assert [t.state for t in trials] == ["complete"] * 2
    assert [t.candidate.repeat for t in trials] == [0, 1]
    for trial in trials:
        repeat = trial.candidate.repeat
        rungs = {f"0/{repeat}@8", f"0/{repeat}@24", f"0/{repeat}"}
        assert {str(key) for key in trial.trainings} == rungs
    record = Record.open("tiny", root=table.root)
    test = set(record.attribute("data")["test"])
    for run in (run for trial in trials for run in trial.trainings.values()):
        tested = [score.key for score in run.scores]
        assert set(tested[-len(test) :]) == test and len(tested) == 2 * len(test) == 8
    assert trials[0].scores() != trials[1].scores()  # another seed


def test_stopped_anywhere_it_goes_on_to_the_same_record(table: StudyConfig, tmp_path: Path) -> None:
    run_study(table)
    stopped = dataclasses.replace(table, root=str(tmp_path / "stopped"))
    run_study(stopped, stop=stop_after(3))
    for calls in (8, 17):
        resume_study("tiny", root=stopped.root, stop=stop_after(calls))
    outcome = resume_study("tiny", root=stopped.root)
    assert outcome.finished
    assert trained(stopped.root) == trained(table.root)
    assert not list((tmp_path / "stopped/tiny/checkpoints").iterdir())


def test_the_command_makes_such_a_study_and_status_shows_it(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        f"tabulate --budget 0.0205GFLOPs --data {videos} --study t --root {tmp_path} --threads 1"
    )
    recipe = "--visits 16 --rungs 8 --recipe batch=8 --recipe bn_batch=8"
    assert main([*words.split(), *recipe.split()]) == 0
    config = Record.open("t", root=tmp_path).config()
    assert config.training_recipe().anneal == "average" and config.score_test and not config.final
    capsys.readouterr()
    assert main(["status", "t", "--root", str(tmp_path), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["state"] == "finished" and len(status["trials"]) == 1


def test_rungs_end_before_the_training_does(table: StudyConfig) -> None:
    with pytest.raises(ConfigError, match="rungs = 32 must be below the recipe's 32 visits"):
        run_study(dataclasses.replace(table, rungs=(8, 32)))
