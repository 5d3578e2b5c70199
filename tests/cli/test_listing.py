"""`status` without a name, and `data` with its path as an argument."""

from __future__ import annotations

from pathlib import Path

import pytest

from expand3d.cli.main import main


def test_status_without_a_name_lists_studies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(tmp_path)
    assert main(["status", "--root", root]) == 0
    assert f"no studies in {root}" in capsys.readouterr().out
    for words in (["--root", root], ["--root", root, "--json"]):
        said = []
        for command in ("status", "studies"):
            assert main([command, *words]) == 0
            said.append(capsys.readouterr().out)
        assert said[0] == said[1] != ""


@pytest.mark.parametrize("named", ["argument", "flag", "both"])
def test_data_takes_its_path_either_way(
    named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = tmp_path / "list.csv"
    clips.write_text("path,label\nmissing.mp4,0\nother.mp4,1\n")
    path = str(clips)
    words = {"argument": [path], "flag": ["--data", path], "both": [path, "--data", path]}[named]
    assert main(["data", "check", *words]) == 1
    assert f"{clips}: 2 videos, 0 of them usable" in capsys.readouterr().out
    out = tmp_path / f"{named}.csv"
    assert main(["data", "split", *words, "--out", str(out), "--val", "0.5", "--test", "0"]) == 0
    assert out.exists()
