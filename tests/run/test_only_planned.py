"""A plan that is only a plan leaves no clips and no folder; what the machine lacks is a warning."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import DataError, StudyError
from expand3d.core.result import ClipScore, Training
from expand3d.data import planned
from expand3d.run import shortage
from expand3d.run.baselines import Selection, plan_baselines
from expand3d.run.driver import plan_resumed, plan_study, resume_study, run_study
from expand3d.run.events import Watch
from expand3d.run.plan import forecast
from expand3d.study.config import StudyConfig
from tests.helpers.at_once import train_by
from tests.helpers.study_config import stop_after


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that is not there yet."""
    monkeypatch.setenv("EXPAND3D_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Shown(Watch):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_plan_leaves_nothing_and_decodes_three_clips(
    config: StudyConfig, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    decode_to = planned.decode_to

    def spy(path: Path, *args: object, **kwargs: object) -> None:
        decoded.append(path.name)
        decode_to(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(planned, "decode_to", spy)
    plan = plan_study(config)
    assert len(decoded) == 3 and len(set(decoded)) == 3
    assert not cache.exists() and not Path(config.root).exists()
    facts = dict(plan.lines)
    # 24 clips: the plan is of the same parts and networks as that of the run.
    assert "24 clips, 2 classes" in facts["data"] and "24 are not decoded yet" in facts["data"]
    assert plan.warnings == ()
    shown: list[tuple[int, int]] = []

    class Look(Watch):
        def planned(self, overview: object) -> None:
            shown.extend((row.step, row.candidates) for row in overview.steps)  # type: ignore[attr-defined]

    run_study(config, watch=Look(), stop=stop_after(0))
    assert [(row.step, row.candidates) for row in plan.steps] == shown
    # All is decoded now: a plan says what it takes on the disk, and that nothing is left to do.
    again = dict(plan_study(dataclasses.replace(config, name="other")).lines)["data"]
    files = [path for path in cache.rglob("*.npy")]
    size = sum(path.stat().st_size for path in files) / 1e6
    assert len(files) == 24 and "not decoded" not in again and f"{size:.3g} MB decoded" in again
    assert f"{size:.3g} MB"[:2] in facts["data"]


def test_plans_of_other_commands_leave_nothing_either(
    config: StudyConfig, cache: Path, tmp_path: Path
) -> None:
    plan_baselines(config, Selection(names=("x3d-xs",)))
    stored = dataclasses.replace(config, storage=f"sqlite:///{tmp_path}/shared.db")
    plan_study(stored)
    words = ["run", "--budget", "0.03GFLOPs", "--data", config.data, "--root", config.root]
    assert main([*words, "--no-final", "--create", "--plan", "--study", "created"]) == 0
    assert not cache.exists() and not Path(config.root).exists()
    assert not (tmp_path / "shared.db").exists()


def test_a_plan_of_a_name_that_is_taken_is_refused(config: StudyConfig) -> None:
    run_study(config, stop=stop_after(0))
    with pytest.raises(StudyError, match="expand3d resume tiny"):
        plan_study(config)


def test_a_plan_refuses_the_same_film_under_two_labels(
    config: StudyConfig, videos: Path, tmp_path: Path, cache: Path
) -> None:
    """Files of one size may be the same, so that these alone are read."""
    moved = tmp_path / "moved"
    shutil.copytree(videos.parent, moved)
    rows = (moved / videos.name).read_text().splitlines()
    first, second = (row.split(",")[0] for row in (rows[1], rows[-1]))
    assert rows[1].split(",")[1] != rows[-1].split(",")[1]
    shutil.copyfile(moved / first, moved / second)
    with pytest.raises(DataError, match="the same bytes: 1 film"):
        plan_study(dataclasses.replace(config, data=str(moved / videos.name)))


def test_a_plan_names_videos_that_do_not_open(
    config: StudyConfig, videos: Path, tmp_path: Path, cache: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(videos.parent, moved)
    bad = (moved / videos.name).read_text().splitlines()[2].split(",")[0]
    (moved / bad).write_bytes(b"no video")
    config = dataclasses.replace(config, data=str(moved / videos.name))
    with pytest.raises(DataError, match="1 of 24 videos cannot be used"):
        plan_study(config)
    watch = Shown()
    plan = plan_study(dataclasses.replace(config, skip_bad=True), watch=watch)
    assert "23 clips" in dict(plan.lines)["data"]
    assert any(note.startswith("skipped ") for note in watch.notes)


def test_threads_beyond_the_cores_are_a_warning(
    config: StudyConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    file = tmp_path / "study.toml"
    file.write_text(
        f'budget = "0.03GFLOPs"\ndata = "{config.data}"\nfinal = false\nroot = "{config.root}"\n'
        "[recipe]\nclip_visits = 16\nbatch = 8\nbn_batch = 8\n"
    )
    assert main(["run", str(file), "--plan", "--threads", "999", "--json"]) == 0
    out, err = capsys.readouterr()
    data = json.loads(out)
    (warning,) = data["warnings"]
    assert warning.startswith("999 threads on 2 cores") and "--threads" in warning
    assert "--workers 2 trains" in err and "1 warning:" in err and warning in " ".join(err.split())
    assert data["candidates"] == sum(step["candidates"] for step in data["steps"]) >= 1
    assert data["seconds"] > 0 and data["final"] is None


def test_memory_beyond_the_machines_is_a_warning(
    config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = max(row.memory or 0 for row in plan_study(config).steps)
    monkeypatch.setattr(shortage, "memory_here", lambda: needed)
    assert plan_study(config).warnings == ()
    monkeypatch.setattr(shortage, "memory_here", lambda: needed - 1)
    (warning,) = plan_study(config).warnings
    assert warning.startswith("the trainings need up to ") and "bn_batch" in warning
    monkeypatch.setattr(shortage, "memory_here", lambda: 2 * needed - 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    two = dataclasses.replace(config, executor="processes", workers=2)
    (warning,) = plan_study(two).warnings
    assert "(2 at a time)" in warning and "--workers" in warning
    elsewhere = dataclasses.replace(config, executor="ray", workers=2, address="10.0.0.1:6379")
    assert plan_study(elsewhere).warnings == ()


def test_a_full_disk_and_a_small_cap_are_warnings(
    config: StudyConfig, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = dataclasses.replace(config, cache_cap="1MB")
    plan = plan_study(small)
    (warning,) = plan.warnings
    assert "beyond --cache-cap" in warning
    assert "are read from their videos (beyond --cache-cap)" in dict(plan.lines)["data"]

    class Usage:
        free = planned.SPARE_BYTES

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage)
    (warning,) = plan_study(config).warnings
    assert warning.startswith("the disk of the clip cache lacks ")


def test_a_plan_of_a_resumed_study_decodes_nothing_either(config: StudyConfig, cache: Path) -> None:
    run_study(config, stop=stop_after(4))
    for path in cache.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    plan = plan_resumed("tiny", root=config.root)
    assert plan.steps and "24 are not decoded yet" in dict(plan.lines)["data"]
    assert not list(cache.rglob("*"))


@pytest.mark.parametrize("failing", ["the base", "another"])
def test_a_plan_counts_what_is_trained_again(
    config: StudyConfig, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """As many trainings as the run then does."""
    trained: list[int] = []
    faults = {0 if failing == "the base" else 2}

    def train(plan: Any, store: Any, *, eval_indices: Any, **options: Any) -> Training:
        number = len(trained)
        trained.append(number)
        if number in faults:
            return Training("timeout", "at step 3", (), 8, 1, 1.0, 0)
        scores = tuple(ClipScore(store.keys[i], i % 2, i % 2, 1 / plan.crop) for i in eval_indices)
        return Training("ok", None, scores, 32, 1, 1.0, 0)

    train_by(train, monkeypatch)
    monkeypatch.setattr("expand3d.run.driver.forecast", forecast)
    if failing == "the base":
        with pytest.raises(StudyError):
            run_study(config)
    else:
        run_study(config)
    before = len(trained)
    assert plan_resumed("tiny", root=config.root).candidates == 0
    plan = plan_resumed("tiny", root=config.root, retry_failed=True)
    assert len(trained) == before
    resume_study("tiny", root=config.root, retry_failed=True)
    assert plan.candidates == len(trained) - before >= 1
    assert dict(plan.lines)["recorded"].startswith(f"{before - 1} networks")
