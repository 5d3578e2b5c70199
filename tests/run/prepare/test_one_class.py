"""Videos of one class are refused before any is opened; a study of one, begun before, is read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import expand3d
from expand3d.core.errors import DataError
from expand3d.report.study.status import final_text, status_json
from expand3d.report.study.table import rows
from expand3d.run.prepare import data as stage
from expand3d.study.config import StudyConfig
from tests.helpers.studies import expanded


@pytest.fixture(autouse=True)
def nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object, **__: object) -> None:
        raise AssertionError("videos were read")

    monkeypatch.setattr(stage, "check", opened)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.txt", "a.mp4 0\nb.mp4 0\nc.mp4 0\n", "only one class, 0; at least two"),
        (
            "list.csv",
            "path,label_name\na.mp4,run\nb.mp4,run\n",
            "only one class, run; at least two",
        ),
        (
            "parts.csv",
            "path,label,split\na.mp4,0,train\nb.mp4,0,train\nc.mp4,1,val\n",
            "only one class in the training part, 0; at least two",
        ),
    ],
)
def test_lists_of_one_class_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    config = StudyConfig.from_mapping(
        {"budget": "0.1GFLOPs", "data": str(tmp_path / name), "root": str(tmp_path / "studies")}
    )
    with pytest.raises(DataError, match=message):
        expand3d.run(config)


def test_a_study_of_one_class_that_was_begun_before_is_read() -> None:
    view = expanded(clips=20)

    def of_one(training):  # type: ignore[no-untyped-def]
        scores = tuple(score._replace(label=0, rank=0) for score in training.scores)
        return dataclasses.replace(training, scores=scores)

    trials = tuple(
        dataclasses.replace(
            trial, trainings={key: of_one(run) for key, run in trial.trainings.items()}
        )
        for trial in view.trials
    )
    assert view.final is not None
    final = dataclasses.replace(view.final, training=of_one(view.final.training))
    view = dataclasses.replace(view, classes=("only",), trials=trials, final=final)
    assert view.chance == 1
    assert view.final_p_value == 1
    assert "p = 1 against chance 100.0%" in str(final_text(view))
    assert json.loads(json.dumps(status_json(view)))["final"]["p_value_against_chance"] == 1
    assert rows(view) and view.hypervolume == 0
