"""`expand3d pretrain playback` as a user meets it: from clips without labels to a search."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import WeightsError
from expand3d.run.driver import run_study
from expand3d.study.config import StudyConfig
from expand3d.study.record import DATA, INITIAL, Record

LENGTH = ["--clip-visits", "16", "--batch", "8", "--threads", "1", "--device", "cpu"]
SMALL = ["--set", "gamma_t=4", "--set", f"gamma_s={32 / 112}"]


@pytest.fixture(scope="module")
def pretrained(videos: Path, clip_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "playback"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPAND3D_CACHE", str(clip_cache))
        words = ["pretrain", "playback", "--data", str(videos), "--out", str(out)]
        assert main([*words, *SMALL, *LENGTH]) == 0
    return out


@pytest.mark.slow
def test_a_search_begins_with_the_weights(
    pretrained: Path, config: StudyConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    network = json.loads((pretrained / "network.json").read_text())
    assert network["classes"][0] == "forward at 1x" and len(network["classes"]) == 4
    assert network["scores"]["held-out views"]["chance"] == 0.25
    warm = dataclasses.replace(config, init=str(pretrained), budget="0.021GFLOPs")
    outcome = run_study(warm)
    assert outcome is not None and outcome.finished
    record = Record.open("tiny", root=config.root)
    base, *_ = record.trials()
    assert base.state == "complete" and base.provenance["start"] == record.attribute(INITIAL)["sha"]
    # The clips that trained it are of the training part alone.
    kept, clips = set(record.attribute(INITIAL)["clips"]), record.attribute(DATA)["clips"]
    held_out = {clips[key] for key in base.scores()}
    assert kept and held_out and not kept & held_out


@pytest.mark.slow
def test_weights_of_another_split_are_refused(pretrained: Path, config: StudyConfig) -> None:
    other = dataclasses.replace(config, init=str(pretrained), seed=5, budget="0.021GFLOPs")
    with pytest.raises(WeightsError, match=r"was trained on .* of the clips that this study"):
        run_study(other)


def test_mistakes_are_said_before_anything_is_decoded(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pretrain", "playback", "--data", str(videos), "--out", str(tmp_path / "out")]
    for more, said in (
        ([], "reads two or more frames of pixels in a row"),
        (["--teacher", "x"], "playback learns without a teacher"),
        (["--preset", "two-stream"], ""),
    ):
        assert main([*words, *more]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
