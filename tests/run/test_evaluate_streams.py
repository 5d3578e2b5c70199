"""`expand3d eval` of two-stream networks: every fold by the network that was trained without it."""

from __future__ import annotations

import dataclasses
import json

import pytest

from expand3d.cli.main import main
from expand3d.run.baselines import Selection, new_baselines
from expand3d.search.statistics import estimate
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record

pytestmark = pytest.mark.slow


def test_folds_are_scored_by_the_networks_that_never_saw_them(
    config: StudyConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cv2")
    config = dataclasses.replace(config, folds=2, test=0.0, budget="1G")
    selection = Selection(names=("twostream-base", "tsn-small"))
    new_baselines(config, selection, keep_weights=True)
    trial = Record.open("tiny", root=config.root).trial(0)
    assert trial.candidate.label == "twostream-base"
    words = ["eval", "tiny:0", "--root", config.root, "--part", "folds", "--threads", "1"]
    capsys.readouterr()
    assert main([*words, "--clips", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in found["streams"]}
    assert list(rows) == ["rgb", "centred_flow", "all"]
    assert rows["all"]["top1"] == pytest.approx(estimate(trial).top1)
    assert found["clips"] == 24 and found["networks"] == 2 and found["groups"] == 12

    pytest.importorskip("sklearn")
    words[1] = "tiny:1"
    assert main([*words, "--clips", "1", "--segments", "25", "--svm"]) == 0
    said = capsys.readouterr().out
    assert "linear SVM on the streams" in said and "1 views of 25 segments" in said

    assert main(["eval", "tiny", "--root", config.root, "--part", "folds"]) == 2
    assert "tiny:0" in capsys.readouterr().err
    for path in (Record.open("tiny", root=config.root).folder.weights / "trials/0").iterdir():
        path.unlink()
    words[1] = "tiny:0"
    assert main(words) == 2
    assert "--keep-weights" in capsys.readouterr().err
