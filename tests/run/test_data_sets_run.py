"""The field's data sets are planned, searched and resumed as they lie on the disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from expand3d.run.driver import plan_study, resume_study, run_study
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record
from tests.helpers.made_layouts import MADE
from tests.helpers.study_config import stop_after

SHORT = {"clip_visits": 4, "batch": 2, "bn_batch": 2, "test_views": 1}


def small(config: StudyConfig, data: str) -> StudyConfig:
    return dataclasses.replace(
        config,
        data=data,
        strategy="random",
        trials=2,
        budget="30MFLOPs",
        recipe=SHORT,
        skip_bad=True,
    )


def searched(config: StudyConfig, root: Path, name: str) -> None:
    """Plan, stop in the middle, resume; the study knows its data by its layout."""
    study = small(config, f"{name}:{MADE[name](root)}")
    assert plan_study(study).steps
    stopped = run_study(study, stop=stop_after(1))
    assert stopped is not None
    assert Record.open("tiny", root=study.root).config().data == f"{name}:{root}"
    resume_study("tiny", root=study.root)
    record = Record.open("tiny", root=study.root)
    assert [trial.state for trial in record.trials()] == ["complete"] * 2


@pytest.mark.parametrize("name", ["webdataset", "twentybn"])
def test_shards_and_frames_run_from_a_plan_to_the_end(
    name: str, config: StudyConfig, tmp_path: Path
) -> None:
    searched(config, tmp_path / name, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*MADE} - {"webdataset", "twentybn"}))
def test_every_data_set_runs(name: str, config: StudyConfig, tmp_path: Path) -> None:
    searched(config, tmp_path / name, name)
