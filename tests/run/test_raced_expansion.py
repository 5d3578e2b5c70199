"""`run --race` on clips: who is tested when, the seeds of the base, and a stop on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from expand3d.core.trial import PARENT, Trial
from expand3d.report.study.view import load_view
from expand3d.run.driver import resume_study, run_study
from expand3d.search.expansion.race import SEEDS
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record
from expand3d.study.weights import WeightStore
from tests.helpers.study_config import stop_after, tiny, without_timing

pytestmark = pytest.mark.slow


@pytest.fixture
def config(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyConfig:
    without_timing(monkeypatch)
    plain = tiny(videos, tmp_path / "studies")
    recipe = {**plain.recipe, "clip_visits": 24}
    return dataclasses.replace(plain, race=True, rungs=(8, 16), recipe=recipe)


def trials_of(config: StudyConfig) -> list[Trial]:
    return list(Record.open("tiny", root=config.root).trials())


def facts(trials: Sequence[Trial]) -> list[Any]:
    return [
        (
            trial.candidate.digest,
            trial.state,
            trial.reached,
            [
                (str(key), tuple(run.scores))
                for key, run in sorted(trial.trainings.items(), key=lambda item: item[0].reach)
            ],
        )
        for trial in trials
    ]


def test_a_race_is_run_stopped_and_resumed_to_the_same_record(
    config: StudyConfig, tmp_path: Path
) -> None:
    outcome = run_study(config)
    assert outcome is not None and outcome.finished
    trials = trials_of(config)
    seeds = [trial for trial in trials if trial.candidate.repeat is not None]
    assert len(seeds) == SEEDS - 1
    for trial in seeds:
        repeat = trial.candidate.repeat
        assert trial.state == "stopped"
        assert {str(key) for key in trial.trainings} == {f"0/{repeat}@8", f"0/{repeat}@16"}
    assert len({tuple(next(iter(t.at(16).trainings.values())).scores) for t in seeds}) == len(seeds)
    for trial in trials:
        if trial.state == "complete":
            assert sorted(map(str, trial.trainings)) == ["0/0", "0/0@16", "0/0@8"]

    assert_the_same_after_stops(config, trials, tmp_path, looks=(3, 14))


def assert_the_same_after_stops(
    config: StudyConfig, trials: Sequence[Trial], folder: Path, *, looks: Sequence[int]
) -> None:
    """Stopped at each of these looks, and resumed, the study has these trials."""
    for look in looks:
        again = dataclasses.replace(config, root=str(folder / f"after{look}"))
        stopped = run_study(again, stop=stop_after(look))
        assert stopped is not None and not stopped.finished
        assert resume_study("tiny", root=again.root).finished
        assert facts(trials_of(again)) == facts(trials)


def test_close_networks_get_a_further_seed_each_and_count_once(
    config: StudyConfig, tmp_path: Path
) -> None:
    """Of two classes and few clips nothing is sure after 24 visits."""
    config = dataclasses.replace(config, more_seeds=1)
    outcome = run_study(config)
    assert outcome is not None and outcome.finished
    trials = trials_of(config)
    further = [t for t in trials if t.candidate.repeat == 1 and t.candidate.axis is not None]
    assert 2 <= len(further) <= 3
    for trial in further:
        assert trial.state == "complete" and list(map(str, trial.trainings)) == ["0/1"]
    view = load_view("tiny", root=config.root)
    digests = {t.candidate.plan.digest for t in further}
    shown = [t for t in view.trials if t.candidate.plan.digest in digests]
    assert len(shown) == len(further)
    for trial in shown:
        assert {"0/0", "0/1"} <= set(map(str, trial.trainings)) and trial.candidate.repeat is None
    step = view.steps[1]
    assert step.close == len(further) and view.best is not None
    assert step.winner is not None and step.winner.plan.digest in digests

    assert_the_same_after_stops(config, trials, tmp_path, looks=(20, 40))


def test_only_whole_trainings_give_their_weights_to_others(config: StudyConfig) -> None:
    outcome = run_study(dataclasses.replace(config, init=PARENT))
    assert outcome is not None and outcome.finished
    record = Record.open("tiny", root=config.root)
    kept = WeightStore(record.folder)
    whole = {t.number for t in record.trials() if t.state == "complete"}
    assert set(kept.numbers()) == whole
    for number in whole:
        assert [str(key) for key in kept.keys(number)] == ["0/0"]
