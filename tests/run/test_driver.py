"""The driver on real (if tiny) videos and trainings: what is recorded, stopped and continued."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from expand3d.cli.main import main
from expand3d.core.errors import BudgetError, DataError, StudyError
from expand3d.core.result import Training, TrainingKey
from expand3d.run.driver import resume_study, run_study
from expand3d.run.events import Overview, Watch
from expand3d.run.plan import side_by_side
from expand3d.study.config import StudyConfig
from expand3d.study.folder import study_folder
from expand3d.study.lock import StudyLock, holder
from expand3d.study.record import Record
from tests.helpers.study_config import stop_after, tiny, without_timing
from tests.helpers.waiting import HANGS, wait_for


def finished(config: StudyConfig, **options: Any) -> Record:
    outcome = run_study(config, **options)
    assert outcome is not None and outcome.finished
    return Record.open("tiny", root=config.root)


def scores(record: Record) -> list[tuple[Any, ...]]:
    """Everything that a finished study has decided and scored, without times."""
    rows: list[tuple[Any, ...]] = [
        (trial.number, trial.state, trial.reason, trial.candidate, trial.scores())
        for trial in record.trials()
    ]
    steps = [record.attribute(f"step/{step}") for step in range(4)]
    return [
        *rows,
        ("steps", steps),
        ("final", (record.final() or {}).get("training", {}).get("scores")),
    ]


LIGHT = pytest.mark.usefixtures("light")


@pytest.fixture(scope="module")
def whole(
    videos: Path, clip_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Record]:
    """The finished study of an uninterrupted run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPAND3D_CACHE", str(clip_cache))
        without_timing(patch)
        yield finished(tiny(videos, tmp_path_factory.mktemp("whole")))


def test_a_run_records_base_candidates_choice_and_what_made_them(whole: Record) -> None:
    record = whole
    trials = record.trials()
    assert [trial.candidate.step for trial in trials] == [0, 1, 1, 1, 1]
    # With one frame the two temporal axes are one candidate (x3d.md section 2).
    assert trials[1].candidate.axis == "gamma_tau"
    assert trials[1].candidate.merged == ("gamma_t",)
    # The videos are 32 pixels high: no axis grows the crop.
    assert [trial.candidate.axis for trial in trials[2:]] == ["gamma_d", "gamma_w", "gamma_b"]
    for trial in trials:
        assert trial.state == "complete"
        (training,) = trial.trainings.values()
        assert training.clip_visits == 16
        assert training.training_macs == 3 * 16 * trial.candidate.macs
        assert len(training.scores) == 4  # 20% of 24 clips, whole groups of two
        provenance = trial.provenance
        assert provenance["threads"] == 1 and provenance["device"] == "cpu"
        assert provenance["versions"]["torch"] == torch.__version__
        assert len(provenance["data"]) == 32
    assert record.attribute("step/1")["best"] in range(1, 5)
    assert not any(record.folder.checkpoints.iterdir())


def test_the_record_is_an_ordinary_optuna_study(whole: Record) -> None:
    study = optuna.load_study(
        study_name="tiny", storage=f"sqlite:///{whole.folder.database.resolve()}"
    )
    assert len(study.trials) == 5
    assert study.directions == [
        optuna.study.StudyDirection.MAXIMIZE,
        optuna.study.StudyDirection.MINIMIZE,
    ]
    # X2D with two classes instead of 400: 20,662,304 - 398 x 2048 multiply-adds.
    assert study.trials[0].values[1] == 20_662_304 - 398 * 2048
    assert study.trials[0].params["gamma_t"] == 1


@pytest.mark.parametrize(
    ("first", "calls"),
    [(1, 6), *(pytest.param(n, n + 2, marks=pytest.mark.slow) for n in (1, 9, 14))],
)
def test_a_stopped_and_resumed_study_equals_an_uninterrupted_one(
    config: StudyConfig, whole: Record, first: int, calls: int
) -> None:
    outcome = run_study(config, stop=stop_after(first))
    assert outcome is not None and outcome.reason == "interrupted"
    assert outcome.resume == f"expand3d resume tiny --root {config.root}"
    for _ in range(20):
        outcome = resume_study("tiny", root=config.root, stop=stop_after(calls))
        if outcome.finished:
            break
    assert outcome.finished
    assert scores(Record.open("tiny", root=config.root)) == scores(whole)


@pytest.mark.parametrize("executor", ["here", pytest.param("processes", marks=pytest.mark.slow)])
def test_the_winner_is_trained_again_and_scored_on_the_test_part_only(
    config: StudyConfig, executor: str
) -> None:
    short = {"clip_visits": 16, "batch": 8, "bn_batch": 8, "test_views": 1}
    config = dataclasses.replace(config, executor=executor)
    # The base alone fits into so little.
    small = dataclasses.replace(config, budget="25M", final=True, final_recipe=short)
    record = finished(small)
    final = record.final()
    assert final is not None
    training = Training.from_json(final["training"])
    chosen_on = {key for trial in record.trials() for key in trial.scores()}
    tested_on = {score.key for score in training.scores}
    assert tested_on and not tested_on & chosen_on
    assert (record.folder.weights / final["weights"]).is_file()
    # A second resume has nothing to do and keeps the number.
    assert resume_study("tiny", root=config.root).finished
    assert Record.open("tiny", root=config.root).final() == final


#: How often a study is killed before it may finish.
KILLS = 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executor", "seed"), [("here", 0), ("here", 1), ("here", 2), ("processes", 3)]
)
def test_killed_at_any_moment_nothing_is_lost_or_trained_twice(
    config: StudyConfig, whole: Record, executor: str, seed: int
) -> None:
    rng = random.Random(seed)
    command = [sys.executable, "-m", "expand3d"]
    run = [*command, "run", "--budget", "0.04GFLOPs", "--data", config.data, "--study", "tiny"]
    run += ["--root", config.root, "--threads", "1", "--no-final"]
    run += ["--executor", executor, "--workers", "1" if executor == "here" else "2"]
    run += [word for key, value in config.recipe.items() for word in ("--recipe", f"{key}={value}")]
    words, kept = run, {}
    for kill in range(KILLS):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        drives_since = _wait_for_driver(process, config)
        # Half of the moments lie within the first trainings, the others anywhere.
        time.sleep(rng.choice([1.0, 6.0]) * rng.random() if drives_since else 0)
        process.send_signal(signal.SIGTERM if kill % 4 == 3 else signal.SIGKILL)
        process.wait()
        try:
            record = Record.open("tiny", root=config.root)
        except StudyError:  # killed before there was a record
            continue
        found = {t.number: t.scores() for t in record.trials()}
        assert all(found[number] == scored for number, scored in kept.items())
        kept = {number: scored for number, scored in found.items() if scored}
        words = [*command, "resume", "tiny", "--root", config.root]
    assert subprocess.run(words, capture_output=True).returncode == 0
    assert scores(Record.open("tiny", root=config.root)) == scores(whole)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_worker_processes_give_the_study_that_one_process_gives(
    config: StudyConfig, whole: Record, executor: str
) -> None:
    record = finished(dataclasses.replace(config, executor=executor, workers=2))
    assert scores(record) == scores(whole)
    assert {t.provenance["workers"] for t in record.trials()} == {2}
    assert not any(record.folder.checkpoints.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_a_study_may_change_hands(config: StudyConfig, whole: Record, executor: str) -> None:
    """Stopped while two workers train, it goes on in one process, from their checkpoints."""
    seen: list[Any] = []

    class Look(Watch):
        def training(self, candidate: Any, progress: Any) -> None:
            seen.append(candidate.step)

    config = dataclasses.replace(config, executor=executor, workers=2)
    outcome = run_study(config, watch=Look(), stop=lambda: 1 in seen)
    assert outcome is not None and outcome.reason == "interrupted"
    begun = [t for t in Record.open("tiny", root=config.root).trials() if t.state == "running"]
    assert len(begun) == 2
    alone = {"executor": "here", "workers": None}
    assert resume_study("tiny", root=config.root, changes=alone).finished
    assert scores(Record.open("tiny", root=config.root)) == scores(whole)


@LIGHT
def test_an_existing_study_is_refused_with_the_resume_command(config: StudyConfig) -> None:
    run_study(config, stop=stop_after(2))
    with pytest.raises(StudyError, match="expand3d resume tiny"):
        run_study(config)


@LIGHT
def test_a_second_driver_is_refused_by_name_of_the_first(config: StudyConfig) -> None:
    run_study(config, stop=stop_after(2))
    with (
        StudyLock(Record.open("tiny", root=config.root).folder),
        pytest.raises(StudyError, match=f"process {os.getpid()}"),
    ):
        resume_study("tiny", root=config.root)


@LIGHT
def test_data_may_move_but_not_change(config: StudyConfig, tmp_path: Path) -> None:
    run_study(config, stop=stop_after(4))
    moved = tmp_path / "moved"
    shutil.copytree(Path(config.data).parent, moved)
    manifest = moved / "manifest.csv"
    outcome = resume_study(
        "tiny", root=config.root, changes={"data": str(manifest)}, stop=stop_after(3)
    )
    assert outcome.reason == "interrupted"
    shutil.copy(moved / "clip3.mp4", moved / "clip5.mp4")
    with pytest.raises(StudyError, match=r"clip5\.mp4 is changed"):
        resume_study("tiny", root=config.root, changes={"data": str(manifest)})


@LIGHT
def test_a_changed_recipe_is_refused_by_name(config: StudyConfig) -> None:
    run_study(config, stop=stop_after(2))
    with pytest.raises(StudyError, match="seed"):
        resume_study("tiny", root=config.root, changes={"seed": 5})


@LIGHT
def test_a_candidate_that_fails_is_recorded_and_the_run_goes_on(
    config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from expand3d.training.tasks import classify

    train = classify.train

    def flaky(plan: Any, *args: Any, **options: Any) -> Training:
        if plan.frames == 2:
            return Training("out of memory", "in training at step 1", (), 0, 0, 1.0, 0)
        if sum(plan.depths) > 11:
            raise RuntimeError("a kernel broke")
        return train(plan, *args, **options)

    monkeypatch.setattr(classify, "train", flaky)
    record = finished(config)
    by_axis = {trial.candidate.axis: trial for trial in record.trials()}
    assert by_axis["gamma_tau"].reason == "out of memory: in training at step 1"
    assert by_axis["gamma_d"].reason == "RuntimeError: a kernel broke"
    assert by_axis["gamma_tau"].state == by_axis["gamma_d"].state == "failed"
    study = optuna.load_study(study_name="tiny", storage=f"sqlite:///{config.root}/tiny/study.db")
    assert study.trials[1].state == optuna.trial.TrialState.FAIL
    assert study.trials[1].values is None


def test_when_every_candidate_fails_the_run_says_so(
    config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from expand3d.training.tasks import classify

    failure = Training("diverged", "the loss became nan at step 2/4", (), 16, 0, 1.0, 0)
    monkeypatch.setattr(classify, "train", lambda *args, **options: failure)
    with pytest.raises(StudyError, match="no network was trained"):
        run_study(config)


@LIGHT
def test_a_time_limit_ends_the_run_cleanly(config: StudyConfig) -> None:
    outcome = run_study(dataclasses.replace(config, time_limit="0.1s"))
    assert outcome is not None and outcome.reason == "time limit"
    assert outcome.resume.endswith(" --time-limit 0.2s")
    trained = len(Record.open("tiny", root=config.root).trials())
    # The limit is a total: resuming does not grant it again.
    assert resume_study("tiny", root=config.root).reason == "time limit"
    assert len(Record.open("tiny", root=config.root).trials()) <= trained + 1
    assert resume_study("tiny", root=config.root, changes={"time_limit": None}).finished


@LIGHT
def test_folds_pool_out_of_fold_predictions_of_every_clip(config: StudyConfig) -> None:
    record = finished(dataclasses.replace(config, folds=2, test=0.0, budget="20MFLOPs"))
    (trial,) = record.trials()
    assert sorted(trial.trainings, key=str) == [TrainingKey(), TrainingKey(1)]
    assert len(trial.scores()) == 24


def test_a_budget_below_the_base_is_refused_before_anything_is_decoded(
    config: StudyConfig, clip_cache: Path
) -> None:
    before = sorted(clip_cache.rglob("*.npy"))
    with pytest.raises(BudgetError, match=r"the least is 19\.85 MMACs"):
        run_study(dataclasses.replace(config, budget="10M"))
    assert sorted(clip_cache.rglob("*.npy")) == before


@LIGHT
def test_bad_files_stop_a_run_or_are_skipped_and_recorded(
    config: StudyConfig, tmp_path: Path
) -> None:
    data = tmp_path / "some-bad"
    shutil.copytree(Path(config.data).parent, data)
    (data / "clip4.mp4").write_bytes(b"")
    bad = dataclasses.replace(config, data=str(data))
    with pytest.raises(DataError, match=r"clip4\.mp4"):
        run_study(bad)
    record = finished(dataclasses.replace(bad, skip_bad=True))
    assert list(record.attribute("data")["skipped"]) == ["clip4.mp4"]


@LIGHT
def test_the_plan_counts_what_is_then_trained(config: StudyConfig) -> None:
    seen: list[Overview] = []

    class Look(Watch):
        def planned(self, overview: Overview) -> None:
            seen.append(overview)

    record = finished(config, watch=Look())
    (plan,) = seen
    assert plan.candidates == len(record.trials())
    assert sum(row.clip_visits for row in plan.steps) == 16 * plan.candidates
    macs = sum(t.training_macs for trial in record.trials() for t in trial.trainings.values())
    assert sum(row.training_macs for row in plan.steps) == macs
    assert plan.seconds > 0


def test_workers_share_the_time_of_a_step() -> None:
    # By hand: 3 and 2 begin; 4 follows the 2 and ends at 6, the last 1 follows the 3.
    assert side_by_side([3, 2, 4, 1], 2) == 6
    assert side_by_side([3, 2, 4, 1], 1) == 10
    assert side_by_side([3, 2, 4, 1], 9) == 4


@LIGHT
def test_run_status_and_resume_on_the_command_line(
    config: StudyConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    flags = ["--data", config.data, "--study", "tiny", "--root", config.root, "--threads", "1"]
    flags += ["--no-final", "--recipe", "clip_visits=16", "--recipe", "batch=8"]
    flags += ["--recipe", "bn_batch=8", "--recipe", "test_views=1"]
    assert main(["run", "--budget", "25M", *flags]) == 0
    assert "best: x3d" in capsys.readouterr().out
    assert main(["status", "tiny", "--root", config.root, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["study"] == "tiny" and status["state"] == "finished"
    trial = status["trials"][0]
    assert set(trial) >= {
        *("number", "state", "reason", "step", "axis", "genotype", "plan", "digest", "macs"),
        *("params", "top1", "top1_ci", "nll", "training_macs", "seconds"),
    }
    assert main(["run", "--budget", "25M", *flags]) == 2
    assert "expand3d resume tiny" in capsys.readouterr().err
    assert main(["studies", "--root", config.root]) == 0
    assert "finished" in capsys.readouterr().out
    assert main(["run", "--budget", "x", *flags]) == 2
    assert main(["run", "--budget", "25M", "--profile", "quik", *flags]) == 2
    assert "quick" in capsys.readouterr().err


@pytest.mark.parametrize(
    "executor", ["here", *(pytest.param(e, marks=pytest.mark.slow) for e in ("processes", "ray"))]
)
def test_sigterm_stops_cleanly_and_prints_the_resume_command(
    config: StudyConfig, tmp_path: Path, executor: str
) -> None:
    words = [sys.executable, "-m", "expand3d", "run", "--budget", "25M"]
    words += ["--data", config.data, "--study", "tiny", "--root", config.root, "--threads", "1"]
    words += ["--recipe", "clip_visits=4000", "--recipe", "batch=8", "--recipe", "bn_batch=8"]
    words += ["--executor", executor]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    checkpoints = Path(config.root, "tiny", "checkpoints")
    wait_for(lambda: any(checkpoints.glob("*.pt")), process=process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=HANGS)
    assert process.returncode == 130, err
    assert f"expand3d resume tiny --root {config.root}" in out
    assert any(checkpoints.glob("*.pt"))


def _wait_for_driver(process: subprocess.Popen[bytes], config: StudyConfig) -> bool:
    """True where the process has come to hold the study's lock; it may also have ended."""
    folder = study_folder("tiny", config.root)
    while process.poll() is None:
        session = holder(folder)
        if session is not None and session.pid == process.pid:
            return True
        time.sleep(0.05)
    return False
