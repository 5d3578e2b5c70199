"""The field's data sets as they lie on the disk: videos, labels, parts and groups of each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from expand3d.core.errors import DataError
from expand3d.data.check import check
from expand3d.data.decode import decode
from expand3d.data.manifest import Manifest, Video, load_manifest
from expand3d.data.splits import make_splits
from tests.helpers import made_layouts as made
from tests.helpers.made_videos import values


def by_part(manifest: Manifest) -> dict[str | None, int]:
    return dict(Counter(video.split for video in manifest.videos))


def test_every_video_is_found_and_can_be_used(tmp_path: Path) -> None:
    for name, make in {**made.MADE, "pictures": made.mmaction2_pictures}.items():
        manifest = load_manifest(make(tmp_path / name))
        missing = ("train/gone0000000_000001_000011.mp4",) if name == "kinetics" else ()
        report = check(manifest, workers=1)
        assert tuple(bad.key for bad in report.bad) == missing, name
        splits = make_splits(manifest)
        assert splits.train and splits.val, name
        assert manifest.said, name


def test_ucf101_has_its_official_splits_and_groups(tmp_path: Path) -> None:
    root = made.ucf101(tmp_path)
    first = load_manifest(root)
    assert first.class_names == ("Biking", "Archery")  # as classInd.txt numbers them
    assert by_part(first) == {"train": 4, "test": 2}
    assert {v.group for v in first.videos if v.split == "test"} == {
        "v_Archery_g01",
        "v_Biking_g01",
    }
    second = load_manifest(f"ucf101:{root}?split=2")
    tested = {v.key for v in second.videos if v.split == "test"}
    assert tested == {f"UCF-101/{c}/v_{c}_g08_c01.avi" for c in ("Archery", "Biking")}
    assert first.published is not None and first.published.parts == {"train": 9537, "test": 3783}
    with pytest.raises(DataError, match="split=4: the official splits are 1 to 3"):
        load_manifest(f"ucf101:{root}?split=4")
    with pytest.raises(DataError, match=r"split 3 has no trainlist03\.txt"):
        load_manifest(f"ucf101:{root}?split=3")
    assert "official split 1 of 3" in first.said and f"ucf101:{root}?split=2" in first.said
    assert load_manifest(f"folders:{root / 'UCF-101'}").class_names == ("Archery", "Biking")


def test_hmdb51_has_its_official_splits_and_source_videos(tmp_path: Path) -> None:
    manifest = load_manifest(made.hmdb51(tmp_path))
    # Behind the three names stand 1, 2, 0 in split 1: the third is not used.
    assert [(v.path.name[:5], v.split, v.group) for v in manifest.videos[:2]] == [
        ("April", "train", "April_09"),
        ("Day_9", "test", "Day_9"),
    ]
    assert manifest.class_names == ("brush_hair", "wave") and len(manifest) == 6
    assert manifest.left_out == "left out: 2 that split 1 does not use"


def test_kinetics_counts_and_names_what_is_missing_and_damaged(tmp_path: Path) -> None:
    root = made.kinetics(tmp_path)
    damaged = root / "train" / "zumba" / "0abc_defghi_000007_000017.mp4"
    damaged.write_bytes(damaged.read_bytes()[:900])
    manifest = load_manifest(root)
    assert "list 5 clips, 1 of them not there" in manifest.said
    reasons = {bad.key: bad.reason for bad in check(manifest, workers=1).bad}
    assert reasons["train/gone0000000_000001_000011.mp4"] == "missing"
    assert set(reasons) == {
        "train/gone0000000_000001_000011.mp4",
        "train/zumba/0abc_defghi_000007_000017.mp4",
    }
    assert manifest.videos[0].group == "-3B32lodo2M"
    (root / "val" / "zumba" / "other.mp4").touch()
    assert load_manifest(root).left_out == "left out: 1 videos that no CSV lists"


def test_replaced_clips_of_kinetics_are_taken(tmp_path: Path) -> None:
    root = made.kinetics(tmp_path)
    clip = root / "train" / "abseiling" / "-3B32lodo2M_000059_000069.mp4"
    new = root / "replacement" / "replacement_for_corrupted_k400" / clip.name
    new.parent.mkdir(parents=True)
    new.write_bytes(clip.read_bytes())
    assert load_manifest(root).videos[0].path == new


def test_something_something_knows_templates_without_brackets(tmp_path: Path) -> None:
    manifest = load_manifest(made.something(tmp_path))
    assert manifest.class_names == ("Pushing something from left to right", "Dropping something")
    assert by_part(manifest) == {"train": 3, "val": 2}
    assert manifest.videos[0].path.name == "10.webm" and manifest.videos[0].label == 0


def test_jester_is_read_at_twelve_pictures_a_second(tmp_path: Path) -> None:
    root = made.twentybn(tmp_path)
    manifest = load_manifest(root)
    assert manifest.class_names == ("Swiping Right", "Swiping Left")
    first: Video = manifest.videos[0]
    assert first.path == root / "20bn-jester-v1" / "1" / "@12fps" and first.label == 1
    assert len(values(decode(first.path, fps=30, short_side=None))) == 15  # 6 / 12 s at 30
    assert load_manifest(f"twentybn:{root}?fps=24").videos[0].path.name == "@24fps"
    with pytest.raises(DataError, match="fps=none: a number of pictures a second"):
        load_manifest(f"twentybn:{root}?fps=none")


def test_diving48_reads_the_cleaned_labels(tmp_path: Path) -> None:
    root = made.diving48(tmp_path)
    (root / "Diving48_train.json").write_text("[]")
    manifest = load_manifest(root)
    assert manifest.class_names == ("Back/FREE", "Inward/PIKE")
    assert by_part(manifest) == {"train": 3, "test": 2}
    assert "labels V2" in manifest.said


def test_lists_of_mmaction2_by_their_names(tmp_path: Path) -> None:
    manifest = load_manifest(made.mmaction2(tmp_path / "a"))
    assert manifest.class_names == ("walk", "run") and by_part(manifest) == {"train": 3, "val": 2}
    assert [v.path.parts[-3] for v in manifest.videos] == [
        *["videos_train"] * 3,
        *["videos_val"] * 2,
    ]
    root = made.mmaction2_pictures(tmp_path / "b")
    pictures = load_manifest(f"mmaction2:{root}?split=2&fps=25")
    assert len(pictures) == 5 and "split 2 of 2" in pictures.said
    assert pictures.videos[0].path == root / "rawframes" / "c0" / "0" / "@25fps"


def test_shards_give_labels_parts_and_groups_and_stay_packed(tmp_path: Path) -> None:
    root = made.webdataset(tmp_path)
    manifest = load_manifest(root)
    assert manifest.class_names == ("walk", "run")
    assert by_part(manifest) == {"train": 4, "val": 2}
    assert [v.group for v in manifest.videos] == [None] * 4 + ["s4", "s5"]
    assert manifest.videos[0].key == "train-000000.tar/000000.mp4"
    assert sorted(p.name for p in root.iterdir()) == [
        "classes.txt",
        "train-000000.tar",
        "val-000000.tar",
    ]
    assert len(load_manifest(root / "train-000000.tar")) == 4


def test_a_layout_that_is_named_must_fit(tmp_path: Path) -> None:
    root = made.frames(tmp_path)
    with pytest.raises(DataError, match="not in the layout ucf101"):
        load_manifest(f"ucf101:{root}")
    with pytest.raises(DataError, match=r"the layout folders has no option 'fps' \(it has none\)"):
        load_manifest(f"folders:{root}?fps=3")
    with pytest.raises(DataError, match="no such file or folder"):
        load_manifest(f"frames:{root}s?fps=3")
    assert {v.path.name for v in load_manifest(f"frames:{root}?fps=3").videos} == {"@3fps"}
    assert "30 a second, which nothing says" in load_manifest(root).said


def test_counts_are_compared_with_the_published_ones(tmp_path: Path) -> None:
    published = load_manifest(made.ucf101(tmp_path)).published
    assert published is not None
    line = published.compared(2, 6, {"train": 4, "test": 2})
    assert line == (
        "UCF101 has 101 classes (here 2), 13,320 videos (here 6), 9,537 train (here 4), "
        "3,783 test (here 2)"
    )
    whole = {"train": 9537, "test": 3783}
    assert published.compared(101, 13_320, whole) == "as many as UCF101 has"
    assert published.compared(101, 13_319, {**whole, "train": 9536}) == (
        "UCF101 has 13,320 videos (here 13,319), 9,537 train (here 9,536)"
    )
