"""A study under a sampler: the same record, driver, views and exports as an expansion's."""

from __future__ import annotations

import dataclasses
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import StudyError
from expand3d.run.driver import plan_resumed, resume_study, run_study
from expand3d.run.events import Overview, Watch
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record

TRIALS = 5


def sampled(config: StudyConfig, strategy: str = "tpe") -> StudyConfig:
    return dataclasses.replace(config, strategy=strategy, trials=TRIALS)


def proposed(record: Record) -> list[Any]:
    return [(t.number, t.state, t.candidate, t.scores()) for t in record.trials()]


def opened(config: StudyConfig) -> Record:
    return Record.open("tiny", root=config.root)


@pytest.mark.slow
def test_a_sampler_runs_is_stopped_resumed_reported_and_exported(
    config: StudyConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans: list[Overview] = []

    class Look(Watch):
        def planned(self, overview: Overview) -> None:
            plans.append(overview)

    short = {"clip_visits": 16, "batch": 8, "bn_batch": 8, "test_views": 1}
    whole = dataclasses.replace(sampled(config), final=True, final_recipe=short)
    outcome = run_study(whole, watch=Look())
    assert outcome is not None and outcome.finished
    record = opened(config)
    assert [plan.candidates for plan in plans] == [TRIALS] == [len(record.trials())]
    assert [trial.candidate.role for trial in record.trials()] == ["base", *["tpe"] * (TRIALS - 1)]
    assert all(trial.candidate.macs <= 40_000_000 for trial in record.trials())

    elsewhere = dataclasses.replace(whole, root=str(tmp_path / "stopped"))
    for calls in (9, 20, 10**9):
        left = iter(range(calls))

        def stop(left: Any = left) -> bool:
            return next(left, None) is None

        if calls == 9:
            outcome = run_study(elsewhere, stop=stop)
        else:
            outcome = resume_study("tiny", root=elsewhere.root, stop=stop)
        assert outcome is not None
    assert outcome is not None and outcome.finished
    assert proposed(opened(elsewhere)) == proposed(record)

    assert main(["status", "tiny", "--root", config.root, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["state"] == "finished" and status["steps"] == []
    assert main(["status", "tiny", "--root", config.root]) == 0
    assert "tpe" in capsys.readouterr().out
    out = tmp_path / "report"
    assert main(["report", "tiny", "--root", config.root, "--out", str(out)]) == 0
    assert (out / "frontier.png").stat().st_size > 1000
    target = ["--to", "json", "--out", str(tmp_path / "export")]
    assert main(["export", "tiny", "--root", config.root, *target]) == 0
    with pytest.raises(StudyError, match="has trials = 5, and 4 is less"):
        resume_study("tiny", root=config.root, changes={"trials": 4})
    capsys.readouterr()
    assert main(["resume", "tiny", "--root", config.root, "--extend", "0.05GFLOPs", "--plan"]) == 0
    said = "all 5 networks of tpe are trained; only a larger --trials adds some"
    assert f"nothing is left to train: {said}" in capsys.readouterr().err
    plans.clear()
    more = {"trials": TRIALS + 2}
    plan_resumed("tiny", root=config.root, changes=more, watch=Look())
    assert [plan.candidates for plan in plans] == [2]
    assert main(["resume", "tiny", "--root", config.root, "--trials", str(TRIALS + 2)]) == 0
    longer = opened(config)
    assert proposed(longer)[:TRIALS] == proposed(record)
    assert len(longer.trials()) == TRIALS + 2
    (step,) = longer.extensions()
    assert (step["from"], step["to"]) == ({"trials": TRIALS}, {"trials": TRIALS + 2})


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["tpe", "nsga3", "gp"])
def test_killed_at_any_moment_a_sampler_proposes_what_it_would_have(
    config: StudyConfig, tmp_path: Path, strategy: str
) -> None:
    whole = dataclasses.replace(sampled(config, strategy), root=str(tmp_path / "whole"))
    assert run_study(whole) is not None
    rng = random.Random(strategy)
    command = [sys.executable, "-m", "expand3d"]
    words = [*command, "run", "--budget", "0.04GFLOPs", "--data", config.data, "--study", "tiny"]
    words += ["--root", config.root, "--threads", "1", "--no-final", "--strategy", strategy]
    words += ["--trials", str(TRIALS)]
    words += [w for key, value in config.recipe.items() for w in ("--recipe", f"{key}={value}")]
    for _ in range(5):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Importing and reading take a few seconds; then trials follow every second or two.
        time.sleep(5 + 8 * rng.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
        try:
            opened(config)
        except StudyError:
            continue
        words = [*command, "resume", "tiny", "--root", config.root]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert proposed(opened(config)) == proposed(opened(whole))
