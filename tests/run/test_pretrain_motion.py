"""`expand3d pretrain motionnet`: its folder, its picture, its errors against OpenCV's flow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expand3d.cli.main import main
from expand3d.interop.json_folder import load_export
from tests.helpers.made_videos import write_video
from tests.helpers.moving import moving

pytestmark = pytest.mark.slow


def test_flow_is_learned_drawn_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cv2")
    for number in range(12):
        video = tmp_path / "videos" / f"class{number % 2}" / f"{number}.mp4"
        video.parent.mkdir(parents=True, exist_ok=True)
        write_video(video, moving((3.0, 0.0), frames=8, seed=number), rate=30)
    out = tmp_path / "flow"
    words = ["pretrain", "motionnet", "--data", str(tmp_path / "videos"), "--out", str(out)]
    words += ["--clip-visits", "8", "--batch", "4", "--device", "cpu", "--threads", "1"]
    assert main([*words, "--json"]) == 0
    score = json.loads(capsys.readouterr().out)
    assert score["against"] == "dis" and (out / "flow.png").is_file()
    # Three pixels a frame of clips 96 pixels high, of which the network sees 80 for each 96.
    assert score["end_point_error_of_no_flow"] == pytest.approx(3 * 80 / 96, rel=0.1)
    assert 1 < score["end_point_error"] < 5  # after two steps
    assert load_export(out).build() is not None
    # Flow is neither right nor wrong.
    steps = [json.loads(line) for line in (out / "pretrain.jsonl").read_text().splitlines()]
    assert [set(step) for step in steps] == [{"step", "clip_visits", "loss", "lr"}] * 2
    assert main(words) == 0  # what is finished is told again
    assert "end-point error against dis: " in capsys.readouterr().out
