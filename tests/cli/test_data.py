"""`expand3d data`: check, show and split from the command line."""

from __future__ import annotations

import json
import os
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.cli.main import main
from expand3d.data import manifest as manifest_module
from expand3d.data.manifest import Manifest, Video, load_manifest
from tests.helpers.made_videos import greys, write_data_set, write_video


def test_check_prints_and_exits_by_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data_set(tmp_path)
    assert main(["data", "check", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path}: 6 videos, 6 of them usable" in out
    assert "median length 10 frames at 30 frames/s, median short side 32 pixels" in out
    (tmp_path / "clip3.mp4").unlink()
    assert main(["data", "check", "--data", str(tmp_path)]) == 1
    assert "  clip3.mp4: missing\n" in capsys.readouterr().out
    assert main(["data", "check", "--data", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["bad"] == [{"key": "clip3.mp4", "reason": "missing"}]
    assert (report["videos"], report["usable"]) == (6, 5)
    assert report["classes"] == {"class0": 3, "class1": 2}
    assert report["median_frames"] == 10


def test_split_writes_a_list_that_reads_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data_set(tmp_path / "data", clips=20)
    before = load_manifest(tmp_path / "data")
    words = ["data", "split", "--data", str(tmp_path / "data"), "--seed", "1"]
    for out in (tmp_path / "data" / "inside.csv", tmp_path / "other" / "outside.csv"):
        assert main([*words, "--out", str(out)]) == 0
        assert capsys.readouterr().out == f"{out}: 12 train, 4 validation, 4 test\n"
        after = load_manifest(out)
        assert [v.path for v in after.videos] == [v.path for v in before.videos]
        assert [v.label for v in after.videos] == [v.label for v in before.videos]
        assert [v.group for v in after.videos] == [v.group for v in before.videos]
        assert {v.split for v in after.videos} == {"train", "val", "test"}
    # A list inside the data's folder moves with it.
    assert (tmp_path / "data" / "inside.csv").read_text().splitlines()[1].startswith("clip0.mp4,")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=6)


@given(
    names=st.lists(TEXT, min_size=4, max_size=8, unique=True),
    # Names that differ only in how accents are coded are one class.
    classes=st.lists(
        TEXT, min_size=2, max_size=2, unique_by=lambda name: unicodedata.normalize("NFC", name)
    ),
    group=TEXT,
)
def test_what_split_writes_is_read_back(names: list[str], classes: list[str], group: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        videos = [
            Video(home / f"{name}.mp4", f"{name}.mp4", label % 2, f"{group}{label // 2}")
            for label, name in enumerate(names)
        ]
        before = Manifest(tuple(videos), tuple(classes), str(home))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(manifest_module, "load_manifest", lambda *_, **__: before)
            assert main(["data", "split", str(home), "--out", str(home / "out.csv")]) == 0
        after = load_manifest(home / "out.csv")
    assert [v.path for v in after.videos] == [v.path for v in before.videos]
    assert [v.label for v in after.videos] == [v.label for v in before.videos]
    assert [v.group for v in after.videos] == [v.group for v in before.videos]
    assert after.class_names == before.class_names
    assert {v.split for v in after.videos} >= {"train", "val"}


def test_split_by_named_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data_set(tmp_path, clips=12)
    out = tmp_path / "split.csv"
    words = ["data", "split", "--data", str(tmp_path), "--out", str(out), "--test-groups", "g1"]
    assert main([*words, "g4"]) == 0
    tested = {video.group for video in load_manifest(out).videos if video.split == "test"}
    assert tested == {"g1", "g4"}
    assert main([*words, "g9", "--force"]) == 2
    assert "test groups: unknown group 'g9'" in capsys.readouterr().err


def test_show_writes_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data_set(tmp_path)
    out = tmp_path / "sheet.png"
    assert main(["data", "show", "--data", str(tmp_path), "--out", str(out), "--frames", "2"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_name_that_is_no_text_is_shown_and_no_list_is_made_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, level in (("run", 50), ("walk", 60)):
        (tmp_path / "v" / name).mkdir(parents=True)
        write_video(tmp_path / "v" / name / "a.mp4", greys([level, 90, 130]))
    odd = tmp_path / "v" / "run" / os.fsdecode(b"caf\xe9 $x^$.mp4")
    os.rename(tmp_path / "v" / "run" / "a.mp4", odd)
    assert main(["data", "check", str(tmp_path / "v")]) == 0
    assert main(["data", "show", str(tmp_path / "v"), "--out", str(tmp_path / "s.png")]) == 0
    assert main(["data", "split", str(tmp_path / "v"), "--out", str(tmp_path / "s.csv")]) == 2
    error = capsys.readouterr().err
    assert error == (
        "expand3d data: run/caf\ufffd $x^$.mp4: the name is not text in UTF-8, as names in a list "
        "must be; rename it\n"
    )
    odd.write_bytes(b"broken")
    assert main(["data", "check", str(tmp_path / "v")]) == 1
    assert "  run/caf\ufffd $x^$.mp4: damaged or not a video" in capsys.readouterr().out


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--data", str(tmp_path / "nope")]) == 2
    error = capsys.readouterr().err
    assert error == f"expand3d data: {tmp_path / 'nope'}: no such file or folder\n"
