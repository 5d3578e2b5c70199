"""A study whose networks failed says what helps; they are trained again when that is asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import StudyError
from expand3d.core.result import ClipScore, Training
from expand3d.report.study.view import load_view
from expand3d.run.driver import resume_study, run_study
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record
from tests.helpers.at_once import train_by


@dataclasses.dataclass
class Lab:
    """Trainings that answer at once, with `status`; each one's time limit is kept."""

    status: str = "ok"
    limits: list[float | None] = dataclasses.field(default_factory=list)

    def train(
        self, plan: Any, store: Any, *, eval_indices: Any, timeout: float | None, **options: Any
    ) -> Training:
        self.limits.append(timeout)
        if self.status != "ok":
            return Training(self.status, "at step 3", (), 8, 1, 1.0, 0)  # type: ignore[arg-type]
        scores = tuple(ClipScore(store.keys[i], i % 2, i % 2, 1 / plan.crop) for i in eval_indices)
        return Training("ok", None, scores, 32, 1, 1.0, 0)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = Lab()
    train_by(made.train, monkeypatch)
    return made


@pytest.fixture
def config(config: StudyConfig) -> StudyConfig:
    return dataclasses.replace(config, budget="20MFLOPs", final=False)


@pytest.mark.parametrize(
    ("status", "helps"),
    [("timeout", "a longer --candidate-timeout"), ("out of memory", "another --device")],
)
def test_what_ran_out_is_trained_again(
    config: StudyConfig, lab: Lab, status: str, helps: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.status = status
    command = f"expand3d resume tiny --root {config.root} --retry-failed"
    with pytest.raises(StudyError, match="no network was trained within 20MFLOPs") as refused:
        run_study(config)
    assert command in str(refused.value) and helps in str(refused.value)
    assert main(["status", "tiny", "--root", config.root]) == 0
    said = capsys.readouterr().out
    assert command in said and helps in said and "continue with" not in said
    lab.status = "ok"
    changes = {"candidate_timeout": "90s"}
    assert resume_study("tiny", root=config.root, changes=changes, retry_failed=True).finished
    assert lab.limits[-1] == 90
    first, *_, again = Record.open("tiny", root=config.root).trials()
    assert (first.state, again.state) == ("failed", "complete")
    assert first.candidate.digest == again.candidate.digest
    view = load_view("tiny", root=config.root)
    assert view.best is not None and view.best.number == again.number and not view.stuck


def test_a_retry_that_fails_may_be_repeated(config: StudyConfig, lab: Lab) -> None:
    lab.status = "timeout"
    with pytest.raises(StudyError):
        run_study(config)
    for _ in range(2):
        with pytest.raises(StudyError, match="--retry-failed"):
            resume_study("tiny", root=config.root, retry_failed=True)
    assert [t.state for t in Record.open("tiny", root=config.root).trials()] == ["failed"] * 3
    lab.status = "ok"
    assert resume_study("tiny", root=config.root, retry_failed=True).finished


def test_what_diverged_gets_the_advice_that_fits(
    config: StudyConfig, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.status = "diverged"
    with pytest.raises(StudyError, match="lower learning rate, such as --recipe lr="):
        run_study(config)
    trained = len(lab.limits)
    assert main(["status", "tiny", "--root", config.root]) == 0
    said = capsys.readouterr().out
    assert "lower learning rate" in said and "expand3d resume" not in said
    with pytest.raises(StudyError, match="nothing to train again: 1 diverged and would again"):
        resume_study("tiny", root=config.root, retry_failed=True)
    assert len(lab.limits) == trained


def test_nothing_failed(config: StudyConfig, lab: Lab, tmp_path: Path) -> None:
    run_study(config)
    with pytest.raises(StudyError, match="nothing to train again: no network failed"):
        resume_study("tiny", root=config.root, retry_failed=True)
