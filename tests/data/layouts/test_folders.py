"""Folders as people have them: what is a class, what is a part, what is left out and said."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from expand3d.core.errors import DataError
from expand3d.data.manifest import load_manifest


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("train", "other", "part"),
    [
        ("train", "dev", "val"),
        ("train", "eval", "val"),
        ("train_set", "val_set", "val"),
        ("Training-Set", "testset", "test"),
        ("train_256", "val_256", "val"),
        ("train_videos", "validation", "val"),
    ],
)
def test_split_folders_by_their_usual_names(
    tmp_path: Path, train: str, other: str, part: str
) -> None:
    touch(tmp_path, f"{train}/run/a.mp4", f"{train}/walk/b.mp4", f"{other}/run/c.mp4")
    manifest = load_manifest(tmp_path)
    assert manifest.class_names == ("run", "walk")
    assert {video.key: video.split for video in manifest.videos} == {
        f"{train}/run/a.mp4": "train",
        f"{train}/walk/b.mp4": "train",
        f"{other}/run/c.mp4": part,
    }


@pytest.mark.parametrize("wrapper", ["UCF-101", "train"])
def test_a_wrapper_is_no_class(tmp_path: Path, wrapper: str) -> None:
    touch(tmp_path, *(f"{wrapper}/{name}/a.mp4" for name in ("run", "sit", "walk")))
    with pytest.raises(DataError) as caught:
        load_manifest(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: holds one folder, {wrapper}, and that holds 3 folders of videos (run, sit, "
        f"walk); if those are the classes, give {tmp_path / wrapper}; one class alone is no data "
        "set"
    )
    assert load_manifest(tmp_path / wrapper).class_names == ("run", "sit", "walk")


def test_one_class_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "run/a.mp4", "run/b.mp4")
    with pytest.raises(DataError, match=r"only one class, run; at least two are needed"):
        load_manifest(tmp_path)


def test_two_readings_are_named_and_either_can_be_chosen(tmp_path: Path) -> None:
    touch(tmp_path, "home/run/a.mp4", "home/walk/b.mp4", "street/run/c.mp4", "street/sit/d.mp4")
    with pytest.raises(DataError) as caught:
        load_manifest(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: which folders are the classes? home, street hold only folders of videos: "
        f"give '{tmp_path}/*' if these 2 are the classes, or '{tmp_path}/*/*' if the 3 in them are "
        "(run, sit, walk)"
    )
    outer, inner = load_manifest(f"{tmp_path}/*"), load_manifest(f"{tmp_path}/*/*")
    assert outer.class_names == ("home", "street") and inner.class_names == ("run", "sit", "walk")
    assert [v.key for v in outer.videos] == [v.key for v in inner.videos]
    assert [v.label for v in inner.videos] == [0, 2, 0, 1]
    with pytest.raises(DataError, match="no such folders"):
        load_manifest(f"{tmp_path}/*/*/*")


def test_a_chosen_depth_keeps_the_parts(tmp_path: Path) -> None:
    touch(tmp_path, "train/run/x/a.mp4", "train/walk/y/b.mp4", "val/run/z/c.mp4")
    with pytest.raises(DataError, match=r"train: which folders are the classes\?"):
        load_manifest(tmp_path)
    manifest = load_manifest(f"{tmp_path}/*/*")
    assert manifest.class_names == ("run", "walk")
    assert [v.split for v in manifest.videos] == ["train", "train", "val"]


@pytest.mark.parametrize("suffix", [".vob", ".mxf", ".divx", ".f4v", ".m2v", ".3g2", ".ogm"])
def test_suffixes_of_videos_are_known(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, f"run/a{suffix.upper()}", f"walk/b{suffix}")
    assert len(load_manifest(tmp_path)) == 2


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    touch(tmp_path, "run/a.mp4", "walk/b.mp4")
    touch(tmp_path, *(f"run/{k}.strange" for k in range(3)), "walk/bare", "walk/bare2")
    touch(tmp_path, "loose.mp4", "run/notes.txt", "run/.hidden.mp4", "run/.DS_Store")
    (tmp_path / "walk" / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    manifest = load_manifest(tmp_path)
    assert len(manifest) == 2
    assert manifest.left_out == (
        "left out: 9 (3 of unknown suffix such as .strange, 2 without a suffix such as walk/bare, "
        "1 videos beside the class folders such as loose.mp4, 1 hidden such as run/.hidden.mp4, "
        "1 of other kinds such as .txt, 1 broken links such as walk/gone.mp4)"
    )
    assert load_manifest(tmp_path).without(["run/a.mp4"]).left_out == manifest.left_out


def test_linked_folders_are_followed_and_circles_refused(tmp_path: Path) -> None:
    touch(tmp_path, "data/run/a.mp4", "data/walk/b.mp4", "elsewhere/c.mp4", "elsewhere/more/d.mp4")
    (tmp_path / "data" / "run" / "linked").symlink_to(tmp_path / "elsewhere")
    keys = [video.key for video in load_manifest(tmp_path / "data").videos]
    assert keys == ["run/a.mp4", "run/linked/c.mp4", "run/linked/more/d.mp4", "walk/b.mp4"]
    (tmp_path / "elsewhere" / "more" / "back").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"more/back: a link to a folder around it"):
        load_manifest(tmp_path / "data")


def test_one_class_in_two_spellings_is_one(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "sauté") for form in ("NFC", "NFD"))
    touch(tmp_path, f"train/{composed}/a.mp4", f"val/{apart}/b.mp4", "train/run/c.mp4")
    manifest = load_manifest(tmp_path)
    assert len(manifest.class_names) == 2
    labels = {video.key[-5:]: video.label for video in manifest.videos}
    assert labels["a.mp4"] == labels["b.mp4"] != labels["c.mp4"]


def test_folders_of_frames_are_named_with_the_way_to_join_them(tmp_path: Path) -> None:
    touch(tmp_path, "run/a.mp4", *(f"walk/v1/img_{k:05d}.jpg" for k in range(1, 4)))
    with pytest.raises(DataError) as caught:
        load_manifest(tmp_path)
    home = tmp_path / "walk" / "v1"
    assert str(caught.value) == (
        f"{tmp_path / 'walk'}: a class folder without a video but with pictures, such as "
        "img_00001.jpg: folders of frames, which are not read; join each to a video, for example: "
        f"ffmpeg -framerate 30 -start_number 1 -i '{home}/img_%05d.jpg' '{home}.mp4'; "
        "where all are such folders, --data 'frames:PATH?fps=30' reads them"
    )


def test_names_that_are_no_text(tmp_path: Path) -> None:
    touch(tmp_path, "run/a.mp4", "walk/b.mp4")
    (tmp_path / "run" / os.fsdecode(b"caf\xe9.mp4")).touch()
    assert len(load_manifest(tmp_path)) == 3
    (tmp_path / os.fsdecode(b"saut\xe9")).mkdir()
    (tmp_path / os.fsdecode(b"saut\xe9") / "c.mp4").touch()
    with pytest.raises(DataError, match="the name of a class is not text in UTF-8; rename it"):
        load_manifest(tmp_path)
