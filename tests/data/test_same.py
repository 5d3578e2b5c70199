"""One film twice: found by its bytes, said, and refused where it stands on two sides."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import DataError
from expand3d.data.cache import CacheSpec, build_store
from expand3d.data.check import check
from expand3d.data.manifest import Manifest, Video, load_manifest
from expand3d.data.same import group_note, same_films
from tests.helpers.made_videos import greys, write_video

SPEC = CacheSpec(fps=30, short_side=24)


def folder(home: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(home / name, greys([40 + 10 * number, 90]))
    return home


def test_the_same_film_in_two_parts_or_under_two_labels(tmp_path: Path) -> None:
    home = folder(
        tmp_path / "v", "train/run/a.mp4", "train/walk/b.mp4", "val/run/c.mp4", "val/walk/d.mp4"
    )
    shutil.copy(home / "train/run/a.mp4", home / "val/run/again.mp4")
    (home / "train/walk/linked.mp4").symlink_to(home / "train/run/a.mp4")
    shutil.copy(home / "val/walk/d.mp4", home / "val/walk/e.mp4")
    manifest = load_manifest(home)
    report = check(manifest)
    assert not report.ok and not report.bad
    wrong = (
        "train/run/a.mp4 = train/walk/linked.mp4 = val/run/again.mp4: under the labels run and "
        "walk, in the parts train and val"
    )
    assert [same.text for same in report.same] == [wrong, "val/walk/d.mp4 = val/walk/e.mp4"]
    said: list[str] = []
    build_store(manifest, SPEC, tmp_path / "cache", say=said.append)
    assert said[-2:] == [
        f"the same bytes: 1 film stand on two sides: {wrong}",
        "the same bytes: 1 film stand more than once: val/walk/d.mp4 = val/walk/e.mp4",
    ]
    with pytest.raises(DataError, match="stand on two sides: train/run/a"):
        build_store(manifest, SPEC, tmp_path / "cache", on_same="stop")


def test_parts_that_were_drawn_count(tmp_path: Path) -> None:
    videos = tuple(Video(tmp_path / name, name, 0) for name in "abc")
    manifest = Manifest(videos, ("one", "two"), "list")
    (same,) = same_films(manifest, ["x", "y", "x"], parts={0: "train", 1: "val", 2: "test"})
    assert same.keys == ("a", "c") and same.fault == "in the parts test and train"
    (same,) = same_films(manifest, ["x", "y", "x"], parts={0: "train", 1: "val", 2: "train"})
    assert same.fault == ""


def test_check_says_it_and_exits_by_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = folder(tmp_path, "run/a.mp4", "walk/b.mp4")
    shutil.copy(home / "run/a.mp4", home / "run/c.mp4")
    assert main(["data", "check", str(home)]) == 0
    assert "films that stand more than once (the same bytes): 1\n  run/a.mp4 = run/c.mp4\n" in (
        capsys.readouterr().out
    )
    shutil.copy(home / "run/a.mp4", home / "walk/c.mp4")
    assert main(["data", "check", str(home)]) == 1
    out = capsys.readouterr().out
    assert "  run/a.mp4 = run/c.mp4 = walk/c.mp4: under the labels run and walk\n" in out


def test_groups_in_names_are_named_with_the_flag_that_uses_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for group in range(4):
        for clip in range(2):
            for name in ("run", "walk"):
                path = tmp_path / "v" / name / f"v_{name}_g{group:02}_c{clip:02}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    manifest = load_manifest(tmp_path / "v")
    assert group_note(manifest) == (
        "the names carry 8 groups (such as v_run_g00), which are not kept whole: --group-by-name "
        "of `run` and `data split` keeps them"
    )
    out = tmp_path / "split.csv"
    words = ["data", "split", str(tmp_path / "v"), "--group-by-name", "--out", str(out)]
    assert main(words) == 0
    after = load_manifest(out)
    assert {video.group for video in after.videos} == {
        f"v_{name}_g0{group}" for name in ("run", "walk") for group in range(4)
    }
    sides = {(video.group, video.split) for video in after.videos}
    assert len(sides) == 8 and group_note(after) == ""
    capsys.readouterr()
    words[2] = str(out)
    assert main([*words, "--force"]) == 2
    assert "the names carry no groups, or a list gives them" in capsys.readouterr().err
