"""A study on an object of the user's own: run, killed, resumed by Python or by its cache alone."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import expand3d
from expand3d.cli.main import main
from expand3d.core.errors import ConfigError, DataError, StudyError
from expand3d.report.study.view import load_view
from expand3d.run.driver import plan_resumed, plan_study, resume_study, run_study
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record
from tests.helpers.study_config import stop_after

pytestmark = pytest.mark.usefixtures("light")


def made(shift: int = 0) -> Any:
    """24 noisy clips of two plain classes."""
    noise = np.random.default_rng(1)
    clips = [
        (60 + 80 * (number % 2) + shift + noise.integers(0, 20, (40, 32, 40, 3))).astype(np.uint8)
        for number in range(24)
    ]
    return SimpleNamespace(clips=clips, labels=[number % 2 for number in range(24)])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXPAND3D_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def config(config: StudyConfig, cache: Path) -> StudyConfig:
    return dataclasses.replace(config, data="bundled")


def scores(name: str, root: str) -> list[tuple[str, float | None]]:
    trials = load_view(name, root=root).trials
    return [(t.candidate.digest, next(iter(t.trainings.values())).scores[0].nll) for t in trials]


def test_a_study_is_run_and_resumed(config: StudyConfig) -> None:
    whole = dataclasses.replace(config, name="whole")
    assert run_study(whole, data=made()).finished  # type: ignore[union-attr]
    run_study(config, data=made(), stop=stop_after(4))
    assert resume_study("tiny", root=config.root, data=made()).finished
    assert scores("tiny", config.root) == scores("whole", config.root)
    kept = Record.open("tiny", root=config.root).config()
    assert kept.data == "python:SimpleNamespace"


def test_the_cache_alone_continues_it_and_says_what_it_lacks(
    config: StudyConfig, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_study(config, data=made(), stop=stop_after(4))
    assert main(["resume", "tiny", "--root", config.root, "--plan"]) == 0
    for clip in cache.glob("*/*.npy"):
        clip.unlink()
    capsys.readouterr()
    assert main(["resume", "tiny", "--root", config.root]) == 2
    said = capsys.readouterr().err
    assert "lacks 24 of 24 clips" in said and "expand3d.resume(name, data=...)" in said
    assert expand3d.resume("tiny", root=config.root, data=made()).finished


@pytest.mark.slow
def test_worker_processes_read_the_cache(config: StudyConfig) -> None:
    config = dataclasses.replace(config, budget="0.021GFLOPs", executor="processes", workers=1)
    assert run_study(config, data=made()).finished  # type: ignore[union-attr]
    trials = load_view("tiny", root=config.root).trials
    assert trials and {trial.state for trial in trials} == {"complete"}


def test_other_content_is_refused(config: StudyConfig) -> None:
    run_study(config, data=made(), stop=stop_after(2))
    with pytest.raises(StudyError, match="clip 00 is changed and 23 more"):
        resume_study("tiny", root=config.root, data=made(shift=1))


def test_a_plan_leaves_nothing(config: StudyConfig, cache: Path) -> None:
    plan = expand3d.plan(config, data=made())
    assert plan.steps and "24 are not decoded yet" in dict(plan.lines)["data"]
    assert not cache.exists() and not Path(config.root).exists()
    run_study(config, data=made(), stop=stop_after(2))
    shutil.rmtree(cache)
    assert plan_resumed("tiny", root=config.root, data=made()).steps
    assert not cache.exists()


def test_files_beside_it_are_refused(config: StudyConfig, videos: Path) -> None:
    beside = dataclasses.replace(config, data=str(videos))
    with pytest.raises(ConfigError, match="stands beside a data set"):
        plan_study(beside, data=made())
    with pytest.raises(ConfigError, match="group_by_name is of files"):
        plan_study(dataclasses.replace(config, group_by_name=True), data=made())
    with pytest.raises(ConfigError, match=r"give it to expand3d\.run\(data=\)"):
        plan_study(dataclasses.replace(config, data="python:Mine"))
    run_study(beside, stop=stop_after(1))
    with pytest.raises(StudyError, match="not a data set; leave it out"):
        resume_study("tiny", root=config.root, data=made())


def test_one_class_is_refused(config: StudyConfig) -> None:
    data = made()
    data.labels = [0] * 24
    with pytest.raises(DataError, match="only one class"):
        run_study(config, data=data)
