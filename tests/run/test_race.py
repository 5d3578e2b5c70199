"""Trainings to some visits, which go on from there or are stopped; killed and resumed."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest

from expand3d.cli.main import main
from expand3d.core.process import environment
from expand3d.core.result import TrainingKey
from expand3d.core.trial import Trial
from expand3d.report.study import page
from expand3d.report.study.raced import race_text
from expand3d.report.study.status import status_json
from expand3d.report.study.view import load_view
from expand3d.report.study.write import write_report
from expand3d.run.driver import resume_study, run_study
from expand3d.run.events import Watch
from expand3d.run.worker import create_study, join_study
from expand3d.search.strategy import Ask, Batch, Done, answers
from expand3d.study.catalog import list_studies
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record
from tests.helpers import ROOT
from tests.helpers.light_networks import with_light_networks
from tests.helpers.race import NO_RACE, RACE, Race
from tests.helpers.study_config import stop_after, tiny, without_timing

RUNGS = (8, 16)
#: Clip visits of the recipe: three rungs of one step each.
VISITS = 24

LIGHT = pytest.mark.usefixtures("light")


def racing(videos: Path, root: Path, **changes: Any) -> StudyConfig:
    config = tiny(videos, root)
    recipe = {**config.recipe, "clip_visits": VISITS}
    return dataclasses.replace(config, strategy=RACE, recipe=recipe, **changes)


@pytest.fixture
def config(videos: Path, tmp_path: Path) -> StudyConfig:
    return racing(videos, tmp_path / "studies")


def opened(config: StudyConfig) -> Record:
    assert config.name is not None
    return Record.open(config.name, root=config.root)


def facts(record: Record) -> list[Any]:
    """All that a race has found but times, and numbers, which depend on who was first."""
    return sorted(
        (
            trial.candidate.label,
            trial.state,
            trial.reason,
            trial.reached,
            [
                (str(key), list(run.scores), run.clip_visits, run.training_macs)
                for key, run in sorted(trial.trainings.items(), key=lambda item: item[0].reach)
            ],
        )
        for trial in record.trials()
    )


def uninterrupted(config: StudyConfig, clip_cache: Path) -> Record:
    """The record of a study of light networks that nobody interrupts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPAND3D_CACHE", str(clip_cache))
        without_timing(patch)
        with_light_networks(patch)
        outcome = run_study(config)
        assert outcome is not None and outcome.finished
    return opened(config)


@pytest.fixture(scope="module")
def whole(videos: Path, clip_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The race of light networks in one process that nobody interrupts."""
    return uninterrupted(racing(videos, tmp_path_factory.mktemp("whole")), clip_cache)


def test_half_is_stopped_at_each_rung_and_the_winner_is_trained_to_its_end(whole: Record) -> None:
    trials = whole.trials()
    assert [trial.state for trial in trials].count("stopped") == 3
    ends = sorted((trial.reached, trial.state, trial.reason) for trial in trials)
    assert ends == [
        (8, "stopped", "in the worse half after 8 visits"),
        (8, "stopped", "in the worse half after 8 visits"),
        (16, "complete", None),
        (16, "stopped", "in the worse half after 16 visits"),
    ]
    for trial in trials:
        visits = [rung for rung in RUNGS if rung <= trial.reached]
        keys = [TrainingKey(visits=rung) for rung in visits]
        if trial.state == "complete":
            keys, visits = [*keys, TrainingKey()], [*visits, VISITS]
        assert sorted(trial.trainings, key=lambda key: key.reach) == keys
        runs = [trial.trainings[key] for key in keys]
        assert [run.clip_visits for run in runs] == visits
        assert [run.training_macs for run in runs] == [
            3 * trial.candidate.macs * count for count in visits
        ]
        assert not any(run.notes for run in runs), "each went on from its checkpoint"
    losses = {trial.number: trial.at(8).means for trial in trials}
    assert all(losses.values())
    behind = [losses[t.number].nll for t in trials if t.reached == 8]  # type: ignore[union-attr]
    ahead = [losses[t.number].nll for t in trials if t.reached == 16]  # type: ignore[union-attr]
    assert max(ahead) <= min(behind)
    assert not any(whole.folder.checkpoints.iterdir())


@LIGHT
def test_the_winner_is_the_network_that_was_never_divided(
    whole: Record, config: StudyConfig
) -> None:
    """The same networks in a study whose strategy has no rungs."""
    outcome = run_study(dataclasses.replace(config, strategy=NO_RACE))
    assert outcome is not None and outcome.finished
    record = opened(config)
    assert [trial.state for trial in record.trials()] == ["complete"] * 4
    (winner,) = (trial for trial in whole.trials() if trial.state == "complete")
    alone = record.find(winner.candidate.digest)
    assert alone is not None and list(alone.trainings) == [TrainingKey()]
    once, divided = alone.trainings[TrainingKey()], winner.trainings[TrainingKey()]
    assert tuple(once.scores) == tuple(divided.scores)
    assert [row["loss"] for row in once.curve] == [row["loss"] for row in divided.curve]


def test_people_and_scripts_are_told_what_was_stopped(whole: Record, tmp_path: Path) -> None:
    root = str(whole.folder.path.parent)
    view = load_view("tiny", root=root)
    told = json.loads(json.dumps(status_json(view)))
    assert [trial["state"] for trial in told["trials"]].count("stopped") == 3
    stopped = [trial for trial in told["trials"] if trial["state"] == "stopped"]
    assert all(trial["top1"] is None and "worse half" in trial["reason"] for trial in stopped)
    # The multiply-adds up to a rung are not counted again at the next.
    winner = next(trial for trial in told["trials"] if trial["state"] == "complete")
    assert winner["clip_visits"] == VISITS
    assert winner["training_macs"] == 3 * VISITS * winner["macs"]
    (info,) = list_studies(root)
    assert (info.trials, info.complete, info.stopped) == (4, 1, 3)
    written = next(path for path in write_report(view, tmp_path) if str(path).endswith(".html"))
    text = Path(written).read_text()
    assert "1 of 4 networks scored, 3 stopped early," in text
    assert "stopped: in the worse half after 8 visits" in text


def test_optuna_has_them_as_pruned(whole: Record) -> None:
    study = optuna.load_study(
        study_name="tiny", storage=f"sqlite:///{whole.folder.database.resolve()}"
    )
    states = {trial.number: trial.state.name for trial in study.trials}
    wanted = {"complete": "COMPLETE", "stopped": "PRUNED"}
    assert states == {trial.number: wanted[trial.state] for trial in whole.trials()}


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_worker_processes_run_the_same_race(
    config: StudyConfig, tmp_path: Path, executor: str
) -> None:
    """Worker processes build X3D's own networks, and so does the race beside them."""
    outcome = run_study(dataclasses.replace(config, executor=executor, workers=2))
    assert outcome is not None and outcome.finished
    alone = dataclasses.replace(config, root=str(tmp_path / "alone"))
    assert run_study(alone) is not None
    assert facts(opened(config)) == facts(opened(alone))


@LIGHT
def test_a_worker_without_a_driver_runs_the_same_race(config: StudyConfig, whole: Record) -> None:
    create_study(config)
    assert join_study("tiny", root=config.root).finished
    assert facts(opened(config)) == facts(whole)


@LIGHT
@pytest.mark.parametrize("calls", [pytest.param(2, marks=pytest.mark.slow), 9])
def test_stopped_again_and_again_it_is_the_same_race(
    config: StudyConfig, whole: Record, calls: int
) -> None:
    outcome = run_study(config, stop=stop_after(calls))
    assert outcome is not None and outcome.reason == "interrupted"
    for _ in range(40):
        outcome = resume_study("tiny", root=config.root, stop=stop_after(calls))
        if outcome.finished:
            break
    assert outcome.finished
    assert facts(opened(config)) == facts(whole)


KILLED = """
import os, signal
from expand3d.run.driver import run_study
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record
from tests.helpers.light_networks import with_light_networks
from tests.helpers.study_config import without_timing
import pytest

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

patch = pytest.MonkeyPatch()
without_timing(patch)
with_light_networks(patch)
calls = iter(range({after}))
kept = Record.{moment}
def spy(self, *words, **named):
    if {before}:
        next(calls, None) is None and die()
        return kept(self, *words, **named)
    found = kept(self, *words, **named)
    next(calls, None) is None and die()
    return found
patch.setattr(Record, {moment!r}, spy)
run_study(StudyConfig.from_mapping({config!r}))
"""


@LIGHT
@pytest.mark.parametrize(
    ("moment", "before", "after"),
    [
        ("put_reached", True, 1),  # tested there, and nobody knows that it waits
        # In the second rung, where the first of two waits.
        pytest.param("put_reached", False, 4, marks=pytest.mark.slow),
        # One of two is stopped.
        pytest.param("finish", True, 1, marks=pytest.mark.slow),
        # The winner is complete, its study is not finished.
        pytest.param("finish", False, 3, marks=pytest.mark.slow),
    ],
)
def test_killed_at_its_turns_it_is_the_same_race(
    config: StudyConfig, whole: Record, moment: str, before: bool, after: int
) -> None:
    code = KILLED.format(moment=moment, before=before, after=after, config=config.to_json())
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), timeout=600)
    assert ended.returncode == -signal.SIGKILL
    assert resume_study("tiny", root=config.root).finished
    assert facts(opened(config)) == facts(whole)


def sampled(videos: Path, root: Path, **changes: Any) -> StudyConfig:
    """The base and a batch of four random networks, of which two go on and then one."""
    keys = {"strategy": "random", "race": True, "rungs": RUNGS, "batch": 4, "trials": 5}
    return dataclasses.replace(racing(videos, root), **{**keys, **changes})


@pytest.fixture(scope="module")
def batch(videos: Path, clip_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The race of a sampler's batch of light networks, which nobody interrupts."""
    return uninterrupted(sampled(videos, tmp_path_factory.mktemp("batch")), clip_cache)


def by_network(record: Record) -> dict[str, Any]:
    """The facts of each trial by its network, since those of a sampler have no names."""
    found = {trial.candidate.digest: trial for trial in record.trials()}
    return {
        digest: (
            trial.state,
            trial.reason,
            trial.reached,
            {str(key): (list(run.scores), run.clip_visits) for key, run in trial.trainings.items()},
        )
        for digest, trial in found.items()
    }


@LIGHT
def test_a_samplers_race_says_what_it_took(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The base, and two random networks of which one is stopped at the first rung."""
    config = sampled(videos, tmp_path / "studies", batch=2, trials=3)
    outcome = run_study(config)
    assert outcome is not None and outcome.finished
    base, *others = opened(config).trials()
    assert (base.state, base.reached, list(base.trainings)) == ("complete", 0, [TrainingKey()])
    lost, won = sorted(others, key=lambda trial: trial.state == "complete")
    assert (lost.state, lost.reached) == ("stopped", 8)
    assert lost.reason == "not among the best 1 of 2 by cost and log-loss after 8 visits"
    assert set(map(str, won.trainings)) == {"0/0@8", "0/0"}

    view = load_view("tiny", root=config.root)
    price = status_json(view)["race"]
    clips = len(base.trainings[TrainingKey()].scores)
    macs = {trial.number: trial.candidate.macs for trial in view.trials}
    whole = 3 * VISITS + clips
    assert price == {
        "macs": whole * macs[base.number]
        + (whole + clips) * macs[won.number]  # tested on its way too
        + (3 * 8 + clips) * macs[lost.number],
        "macs_of_whole_trainings": whole * sum(macs.values()),
    }
    said = race_text(view)
    assert main(["status", "tiny", "--root", config.root]) == 0
    assert said is not None and said.startswith("the race: it took ")
    assert said in capsys.readouterr().out and said in page._lead(view)


@pytest.mark.slow
def test_half_of_a_samplers_batch_goes_on_at_each_rung(batch: Record) -> None:
    ends = sorted((t.reached, t.state, t.reason) for t in batch.trials()[1:])
    first = "not among the best 2 of 4 by cost and log-loss after 8 visits"
    second = "not among the best 1 of 2 by cost and log-loss after 16 visits"
    assert ends == [
        (8, "stopped", first),
        (8, "stopped", first),
        (16, "complete", None),
        (16, "stopped", second),
    ]


@pytest.mark.slow
@LIGHT
@pytest.mark.parametrize("calls", [2, 11])
def test_a_samplers_race_stopped_again_and_again_is_the_same(
    videos: Path, tmp_path: Path, batch: Record, calls: int
) -> None:
    config = sampled(videos, tmp_path / "studies")
    outcome = run_study(config, stop=stop_after(calls))
    assert outcome is not None and outcome.reason == "interrupted"
    for _ in range(60):
        outcome = resume_study("tiny", root=config.root, stop=stop_after(calls))
        if outcome.finished:
            break
    assert outcome.finished
    assert by_network(opened(config)) == by_network(batch)


@pytest.mark.slow
@LIGHT
@pytest.mark.parametrize(
    ("moment", "before", "after"),
    [("begin", False, 3), ("put_reached", True, 2), ("finish", True, 2), ("finish", False, 2)],
)
def test_a_samplers_race_killed_at_its_turns_is_the_same(
    videos: Path, tmp_path: Path, batch: Record, moment: str, before: bool, after: int
) -> None:
    config = sampled(videos, tmp_path / "studies")
    code = KILLED.format(moment=moment, before=before, after=after, config=config.to_json())
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), timeout=600)
    assert ended.returncode == -signal.SIGKILL
    assert resume_study("tiny", root=config.root).finished
    assert by_network(opened(config)) == by_network(batch)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_worker_processes_run_a_samplers_race(videos: Path, tmp_path: Path, executor: str) -> None:
    config = sampled(videos, tmp_path / "studies", executor=executor, workers=2)
    outcome = run_study(config)
    assert outcome is not None and outcome.finished
    alone = sampled(videos, tmp_path / "alone")
    assert run_study(alone) is not None
    assert by_network(opened(config)) == by_network(opened(alone))


@pytest.mark.slow
@LIGHT
def test_a_worker_without_a_driver_runs_a_samplers_race(
    videos: Path, tmp_path: Path, batch: Record
) -> None:
    config = sampled(videos, tmp_path / "studies")
    create_study(config)
    assert join_study("tiny", root=config.root).finished
    assert by_network(opened(config)) == by_network(batch)


@dataclass(frozen=True)
class Forgets(Race):
    """Trains two networks to 8 visits and one of them to its end, and forgets the other."""

    def ask(self, history: Sequence[Trial]) -> Ask:
        pair = self.field()[:2]
        if any(candidate.digest not in answers(history, 8) for candidate in pair):
            return Batch(pair, "to 8 visits", visits=8)
        if pair[0].digest not in answers(history):
            return Batch(pair[:1], "the first to its end")
        return Done("nobody else goes on")


class Look(Watch):
    def __init__(self) -> None:
        self.waiting: list[tuple[int, int]] = []

    def reached(self, trial: Trial) -> None:
        self.waiting.append((trial.number, trial.reached))


@LIGHT
def test_what_waits_when_the_search_ends_is_stopped(config: StudyConfig) -> None:
    look = Look()
    config = dataclasses.replace(config, strategy="tests.run.test_race:Forgets")
    outcome = run_study(config, watch=look)
    assert outcome is not None and outcome.finished
    assert look.waiting == [(0, 8), (1, 8)]
    record = opened(config)
    assert [(trial.state, trial.reached, trial.reason) for trial in record.trials()] == [
        ("complete", 8, None),
        ("stopped", 8, "the search ended before it was trained on"),
    ]
    assert not any(record.folder.checkpoints.iterdir())
