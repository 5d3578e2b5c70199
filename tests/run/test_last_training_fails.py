"""The winner's last training has to be had: a study whose last one failed is not finished."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import StudyError
from expand3d.core.result import ClipScore, Training
from expand3d.run.baselines import Selection, add_baselines
from expand3d.run.driver import resume_study, run_study
from expand3d.run.worker import join_study
from expand3d.study.catalog import state_of
from expand3d.study.config import StudyConfig
from expand3d.study.record import FINAL, SESSION, Record
from tests.helpers.at_once import train_by

SHORT = {"clip_visits": 16, "batch": 8, "bn_batch": 8, "test_views": 1}


@dataclasses.dataclass
class Lab:
    """Trainings that answer at once; the last ones end as `status` says."""

    status: str = "ok"
    count: int = 0
    begun: list[bool] = dataclasses.field(default_factory=list)

    def train(
        self, plan: Any, store: Any, *, eval_indices: Any, checkpoint: Path, **options: Any
    ) -> Training:
        weights: Path | None = options["weights_out"]
        if weights is None:
            self.count += 1
        else:
            self.begun.append(checkpoint.exists())
            if self.status != "ok":
                checkpoint.parent.mkdir(parents=True, exist_ok=True)
                checkpoint.write_text("half of it")
                reason = "at step 3"
                return Training(self.status, reason, (), 8, 1, 1.0, 0)  # type: ignore[arg-type]
            weights.parent.mkdir(parents=True, exist_ok=True)
            weights.write_text(f"{plan.digest}")
        scores = tuple(ClipScore(store.keys[i], 0, i % 2, 1 / plan.crop) for i in eval_indices)
        return Training("ok", None, scores, 32, 1, 1.0, 0)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = Lab()
    train_by(made.train, monkeypatch)
    return made


@pytest.fixture
def config(config: StudyConfig) -> StudyConfig:
    """Of the base alone, and its last training."""
    return dataclasses.replace(config, budget="20MFLOPs", final=True, final_recipe=SHORT)


def opened(config: StudyConfig) -> Record:
    return Record.open("tiny", root=config.root)


@pytest.mark.parametrize(
    "status",
    [
        "diverged",
        *(pytest.param(s, marks=pytest.mark.slow) for s in ("timeout", "error", "out of memory")),
    ],
)
def test_it_is_not_finished_and_resuming_tries_again(
    config: StudyConfig, lab: Lab, status: str
) -> None:
    lab.status = status
    with pytest.raises(StudyError, match=rf"last training gave nothing: {status}: at step 3"):
        run_study(config)
    state, reason = state_of(opened(config))
    assert state == "stopped" and f"{status}: at step 3" in (reason or "")
    with pytest.raises(StudyError, match="tries again"):
        resume_study("tiny", root=config.root, changes={"threads": 2})
    lab.status = "ok"
    assert resume_study("tiny", root=config.root).finished
    record = opened(config)
    final = record.final()
    assert final is not None and final["training"]["status"] == "ok"
    assert final["weights"] == "winner.safetensors"
    assert (record.folder.weights / "winner.safetensors").is_file()
    assert not any(record.folder.checkpoints.iterdir())
    assert state_of(record) == ("finished", "finished")
    assert (lab.count, len(lab.begun)) == (1, 3)
    # What memory did not suffice for may go on elsewhere; what diverged would do so again.
    assert lab.begun == [False, *[status == "out of memory"] * 2]
    assert resume_study("tiny", root=config.root).finished and len(lab.begun) == 3


def test_the_command_says_so_and_fails(
    config: StudyConfig, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.status = "diverged"
    with pytest.raises(StudyError):
        run_study(config)
    assert main(["resume", "tiny", "--root", config.root]) == 2
    assert "diverged: at step 3" in capsys.readouterr().err
    assert main(["status", "tiny", "--root", config.root]) == 0
    assert "stopped" in capsys.readouterr().out


def test_a_record_that_called_it_finished_is_tried_again(config: StudyConfig, lab: Lab) -> None:
    """As earlier versions left it."""
    assert run_study(config) is not None
    record = opened(config)
    final = record.final()
    assert final is not None
    failure = {**final["training"], "status": "diverged", "reason": "nan", "scores": []}
    record.set_attribute(FINAL, {**final, "training": failure, "weights": None})
    assert record.attribute(f"{SESSION}/0")["reason"] == "finished"
    assert state_of(record)[0] == "stopped"
    assert resume_study("tiny", root=config.root).finished
    assert opened(config).last_trained() == 0 and len(lab.begun) == 2


@pytest.mark.slow
def test_after_an_extension_the_earlier_weights_stay(config: StudyConfig, lab: Lab) -> None:
    assert run_study(config) is not None
    before = opened(config).final()
    assert before is not None
    lab.status = "diverged"
    larger: dict[str, Any] = {"changes": {"budget": "0.04GFLOPs"}, "root": config.root}
    # A larger crop is not to be had here, so that all have one score and the cheapest wins.
    outcome = resume_study("tiny", **larger)
    assert outcome.finished and len(lab.begun) == 1
    best = next(trial for trial in opened(config).trials() if trial.number)
    record = opened(config)
    record.set_attribute(FINAL, {**before, "trial": best.number})  # another had won before
    with pytest.raises(StudyError, match="gave nothing"):
        resume_study("tiny", root=config.root)
    lab.status = "ok"
    assert resume_study("tiny", root=config.root).finished
    record = opened(config)
    final = record.final()
    assert final is not None and final["weights"] == "winner-0.safetensors"
    assert record.attribute(f"{FINAL}/{best.number}")["weights"] == "winner.safetensors"
    assert (record.folder.weights / "winner.safetensors").is_file()


def test_workers_try_again_too(config: StudyConfig, lab: Lab) -> None:
    lab.status = "diverged"
    with pytest.raises(StudyError):
        run_study(config)
    with pytest.raises(StudyError, match="gave nothing"):
        join_study("tiny", root=config.root)
    lab.status = "ok"
    assert join_study("tiny", root=config.root).finished
    assert len(lab.begun) == 3


def test_baselines_do_not_finish_such_a_study(
    config: StudyConfig, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expand3d.run.baselines.forecast_each", lambda *_: ())
    lab.status = "diverged"
    with pytest.raises(StudyError):
        run_study(config)
    outcome = add_baselines("tiny", Selection(names=("x2d",)), root=config.root)
    assert outcome is not None and not outcome.finished
