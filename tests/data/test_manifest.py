"""The forms that `--data` may name: folders, lists as other codebases write them, CSV files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.core.errors import DataError
from expand3d.data.bundled import make as bundled
from expand3d.data.manifest import Manifest, load_manifest
from expand3d.data.places import require_file
from expand3d.data.source import cache_root, resolve_source


def listing(folder: Path, text: str, name: str = "list.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def triples(manifest: Manifest) -> list[tuple[str, int, str | None]]:
    return [(video.key, video.label, video.split) for video in manifest.videos]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_class_folders_are_classes_in_alphabetical_order(tmp_path: Path) -> None:
    touch(tmp_path, "walk/a.mp4", "run/deep/b.AVI", "run/c.mkv", "run/notes.txt", ".git/x.mp4")
    manifest = load_manifest(tmp_path)
    assert manifest.class_names == ("run", "walk")
    assert triples(manifest) == [
        ("run/c.mkv", 0, None),
        ("run/deep/b.AVI", 0, None),
        ("walk/a.mp4", 1, None),
    ]
    assert manifest.videos[0].path == tmp_path / "run/c.mkv"


def test_what_an_archive_adds_is_no_class(tmp_path: Path) -> None:
    touch(tmp_path, "walk/a.mp4", "run/a.mp4", "__MACOSX/walk/._a.mp4", "__MACOSX/._walk")
    assert load_manifest(tmp_path).class_names == ("run", "walk")


def test_split_folders_hold_class_folders(tmp_path: Path) -> None:
    touch(
        tmp_path, "train/run/a.mp4", "train/walk/b.mp4", "validation/run/c.mp4", "test/walk/d.mp4"
    )
    manifest = load_manifest(tmp_path)
    assert manifest.class_names == ("run", "walk")
    assert sorted(triples(manifest)) == [
        ("test/walk/d.mp4", 1, "test"),
        ("train/run/a.mp4", 0, "train"),
        ("train/walk/b.mp4", 1, "train"),
        ("validation/run/c.mp4", 0, "val"),
    ]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    touch(tmp_path, "car/a.mp4", "train/b.mp4")
    assert load_manifest(tmp_path).class_names == ("car", "train")


def test_folders_that_cannot_be_read_are_explained(tmp_path: Path) -> None:
    touch(tmp_path, "flat/a.mp4")
    with pytest.raises(DataError, match=r"flat: holds no class folders"):
        load_manifest(tmp_path / "flat")
    touch(tmp_path, "gap/run/a.mp4", "gap/walk/readme.txt")
    with pytest.raises(DataError, match=r"gap/walk: a class folder without a video"):
        load_manifest(tmp_path / "gap")
    touch(tmp_path, "odd/train/run/a.mp4", "odd/val/run/b.mp4", "odd/tets/run/c.mp4")
    with pytest.raises(DataError, match=r"odd/tets: not a split.*did you mean 'test'"):
        load_manifest(tmp_path / "odd")
    with pytest.raises(DataError, match=r"flatt: no such file or folder \(did you mean 'flat'\?\)"):
        load_manifest(tmp_path / "flatt")
    with pytest.raises(DataError, match=r"a\.mp4: one video is not a data set"):
        load_manifest(tmp_path / "flat" / "a.mp4")


def test_lists_of_pyslowfast_in_a_folder_are_its_splits(tmp_path: Path) -> None:
    listing(tmp_path, "a.mp4 0\nb.mp4 1\n", "train.csv")
    listing(tmp_path, "c.mp4 0\n", "val.csv")
    assert triples(load_manifest(tmp_path)) == [
        ("a.mp4", 0, "train"),
        ("b.mp4", 1, "train"),
        ("c.mp4", 0, "val"),
    ]
    assert load_manifest(tmp_path, prefix=Path("/videos")).videos[0].path == Path("/videos/a.mp4")


@pytest.mark.parametrize(
    "line",
    [
        "my clips/a b.mp4 1",
        "my clips/a b.mp4,1",
        "my clips/a b.mp4\t1",
        "  my clips/a b.mp4   1  ",
        '"my clips/a b.mp4" 1',
        '"my clips/a b.mp4", 1',
        "'my clips/a b.mp4',1",
        "my clips/a b.mp4;1",
        '"my clips/a b.mp4"; 1',
        "\ufeffmy clips/a b.mp4 1",
        "my clips/a b.mp4 1\r",
    ],
)
def test_one_line_in_every_dialect(tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"{line}\n\nc.mp4 0\n", encoding="utf-8")
    manifest = load_manifest(path)
    assert triples(manifest) == [("my clips/a b.mp4", 1, None), ("c.mp4", 0, None)]
    assert manifest.videos[0].path == tmp_path / "my clips" / "a b.mp4"
    assert manifest.class_names == ("0", "1")


@pytest.mark.parametrize(
    "line", ["my clips/a b 300 1", "my clips/a b,300,1", '"my clips/a b" 300 1']
)
def test_three_fields_are_folders_of_frames(tmp_path: Path, line: str) -> None:
    manifest = load_manifest(listing(tmp_path, f"{line}\nc 300 0\n"))
    assert triples(manifest) == [("my clips/a b", 1, None), ("c", 0, None)]


def test_no_label_of_a_video_is_taken_for_its_frames(tmp_path: Path) -> None:
    # Two labels a line, as lists of several labels have it: neither is a count of frames.
    with pytest.raises(
        DataError, match=r"line 1: two numbers behind a\.mp4: a video has one label"
    ):
        load_manifest(listing(tmp_path, "a.mp4 0 1\nb.mp4 2 3\n"))


def test_quoting_is_that_of_csv(tmp_path: Path) -> None:
    plain = listing(tmp_path, '"a""b.mp4",0\n"c\nd.mp4",1\n', "plain.csv")
    assert [video.key for video in load_manifest(plain).videos] == ['a"b.mp4', "c\nd.mp4"]
    for mark in ",;\t":
        text = '"path"MlabelMmore\n"a""b.mp4"M0M\n"c\nd.mp4"M1M"x,;y"\n" e.mp4 "M0M\n'
        table = listing(tmp_path, text.replace("M", mark), "table.csv")
        keys = [video.key for video in load_manifest(table).videos]
        assert keys == ['a"b.mp4', "c\nd.mp4", " e.mp4 "]


@pytest.mark.parametrize(
    ("header", "values", "names"),
    [
        ("file,label", ["0", "1"], ("0", "1")),
        ("Filename;class_id", ["1", "0"], ("0", "1")),
        ("video_path,label", ["0", "1"], ("0", "1")),
        ("video,class", ["walk", "run"], ("run", "walk")),
        ("path,class", ["0", "1"], ("0", "1")),
        ("File Path,Category", ["walk", "run"], ("run", "walk")),
        ("clip,class name", ["walk", "run"], ("run", "walk")),
    ],
)
def test_headers_by_their_usual_names(
    tmp_path: Path, header: str, values: list[str], names: tuple[str, ...]
) -> None:
    mark = ";" if ";" in header else ","
    rows = "".join(f"{name}{mark}{value}\n" for name, value in zip("ab", values, strict=True))
    manifest = load_manifest(listing(tmp_path, f"{header}\n{rows}"))
    assert [video.key for video in manifest.videos] == ["a", "b"]
    assert manifest.class_names == names
    assert [manifest.class_names[video.label] for video in manifest.videos] == values


@pytest.mark.parametrize("header", ["file,label", "Path;Label", "label,video"])
def test_a_column_of_labels_may_hold_names(tmp_path: Path, header: str) -> None:
    mark = ";" if ";" in header else ","
    rows = [("a.mp4", "walk"), ("b.mp4", "run"), ("c.mp4", "walk")]
    turned = [row[::-1] for row in rows] if header.startswith("label") else rows
    lines = [header, *(mark.join(row) for row in turned)]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    manifest = load_manifest(tmp_path / "list.csv")
    assert manifest.class_names == ("run", "walk")
    assert [video.label for video in manifest.videos] == [1, 0, 1]


def test_one_class_in_two_spellings_is_one(tmp_path: Path) -> None:
    text = "path,label_name\na.mp4,saut\u00e9\nb.mp4,saute\u0301\nc.mp4,run\n"
    manifest = load_manifest(listing(tmp_path, text))
    assert manifest.class_names == ("run", "saut\u00e9")
    assert [video.label for video in manifest.videos] == [1, 1, 0]


def test_two_lists_under_any_names(tmp_path: Path) -> None:
    touch(tmp_path, "lists/x", "more/x")
    train = listing(tmp_path / "lists", "a.mp4 0\nb.mp4 1\n", "mine.txt")
    val = listing(tmp_path / "more", "c.mp4 1\n", "theirs.txt")
    manifest = load_manifest(train, val=val)
    assert [(v.path, v.label, v.split) for v in manifest.videos] == [
        (tmp_path / "lists" / "a.mp4", 0, "train"),
        (tmp_path / "lists" / "b.mp4", 1, "train"),
        (tmp_path / "more" / "c.mp4", 1, "val"),
    ]
    videos = load_manifest(train, val=val, prefix=Path("/videos")).videos
    assert [str(video.path) for video in videos] == [f"/videos/{c}.mp4" for c in "abc"]
    with pytest.raises(DataError, match="needs two lists"):
        load_manifest(tmp_path, val=val)


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        (r"v\walk\1.mp4", r" (backslashes part no folders here; there is one with / instead of \)"),
        ("v/walk/1", " (there is 1.mp4)"),
        ("v/walk/1.MP4", " (there is 1.mp4)"),
        ("V/Walk/1.MP4", " (there is v/walk/1.mp4)"),
        ("v/Walk/1.mp4", " (there is walk/1.mp4)"),
        ("v/run/1.mp4", ""),
        ("~/v/walk/1.mp4", " ('~' is not filled in within lists; write the whole path)"),
        ("v/walk/2.mp4", ""),
    ],
)
def test_a_missing_file_gets_a_hint(tmp_path: Path, wanted: str, hint: str) -> None:
    touch(tmp_path, "v/walk/1.mp4")
    video = load_manifest(listing(tmp_path, f"{wanted} 0\n")).videos[0]
    with pytest.raises(DataError) as caught:
        require_file(video.path)
    assert str(caught.value) == f"{video.path}: missing{hint}"


def test_a_number_at_the_end_of_a_path_belongs_to_a_file_that_exists(tmp_path: Path) -> None:
    touch(tmp_path, "clip 12", "clip 7")
    manifest = load_manifest(listing(tmp_path, "clip 12 0\nclip 7 1\n"))
    assert [video.key for video in manifest.videos] == ["clip 12", "clip 7"]


def test_absolute_paths_are_named_by_what_differs(tmp_path: Path) -> None:
    text = f"{tmp_path}/x/run/a.mp4 0\n{tmp_path}/x/walk/a.mp4 1\n"
    manifest = load_manifest(listing(tmp_path, text))
    assert [video.key for video in manifest.videos] == ["run/a.mp4", "walk/a.mp4"]
    assert manifest.videos[1].path == tmp_path / "x/walk/a.mp4"


def test_csv_with_header(tmp_path: Path) -> None:
    text = (
        "group,path,label,label_name,split,more\n"
        's1,"a, b.mp4",1,walk,train,?\n'
        "s2,c.mp4,0,run,Validation,?\n"
        ",d.mp4,0,run,,?\n"
    )
    manifest = load_manifest(listing(tmp_path, text, "m.csv"))
    assert triples(manifest) == [("a, b.mp4", 1, "train"), ("c.mp4", 0, "val"), ("d.mp4", 0, None)]
    assert [video.group for video in manifest.videos] == ["s1", "s2", None]
    assert manifest.class_names == ("run", "walk")


def test_names_alone_are_numbered_in_alphabetical_order(tmp_path: Path) -> None:
    manifest = load_manifest(listing(tmp_path, "path\tlabel_name\na.mp4\tb b\nc.mp4\ta\n"))
    assert manifest.class_names == ("a", "b b")
    assert [video.label for video in manifest.videos] == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"list\.txt: empty"),
        ("\n  \n", r"list\.txt: empty"),
        ("path,label\n", r"list\.txt: a header and no video"),
        ("a.mp4\n", r"line 1: 'a\.mp4' is no `path label`"),
        ("a.mp4 0\nb.mp4 run\n", r"line 2: label 'run' is not a whole number; names go into a CSV"),
        ("a.mp4 0\nb.mp4 1.5\n", r"line 2: label '1\.5' is not a whole number"),
        ("a.mp4 0\nb.mp4 -1\n", r"line 2: label -1 is negative"),
        ("a.mp4 0\nb.mp4 2\n", r"no clip has label 1, but .*line 2 has label 2"),
        ("a.mp4 1\nb.mp4 2\n", r"no clip has label 0"),
        ("a.mp4 0\n./a.mp4 1\n", r"line 2: \./a\.mp4 stands already in .*line 1"),
        ("a 0\nb 30 1\n", r"line 2: 3 fields, but 2 in .*line 1"),
        ("a.mp4 3 4 0\n", r"line 1: more than path, frames and label"),
        ("path,label\na.mp4,0\nb.mp4,1,x\n", r"line 3: 3 cells under 2 columns"),
        ("path,label\na.mp4,\n", r"line 2: label '' is not a whole number"),
        ("path,label\na.mp4,0\nb.mp4,run\n", r"line 3: label 'run' .* a column label_name"),
        ("path,label\na.mp4,run\nb.mp4,1.5\n", r"line 2: label 'run' is not a whole number"),
        ("path,label\n,0\n", r"line 2: no path"),
        ("path,label_name\na.mp4,\n", r"line 2: no label_name"),
        (
            "path,colour\na.mp4,0\n",
            r"line 1: columns path, colour; needed: path, label or label_name",
        ),
        ("path,label,label\na.mp4,0,0\n", r"line 1: column 'label' stands twice"),
        (
            "path,label,split\na.mp4,0,trian\n",
            r"line 2: unknown split 'trian' \(did you mean 'train'\?\)",
        ),
        (
            "path,label,label_name\na.mp4,0,run\nb.mp4,0,walk\n",
            r"line 3: label 0 is 'walk' here and 'run' in .*line 2",
        ),
        (
            "path,label,label_name\na.mp4,0,run\nb.mp4,1,run\n",
            r"line 3: 'run' has label 1 here and 0 in .*line 2",
        ),
    ],
)
def test_faults_of_lists_name_file_line_and_rule(tmp_path: Path, text: str, message: str) -> None:
    path = listing(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        load_manifest(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("café.mp4 0\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"list\.txt: not text in UTF-8"):
        load_manifest(path)


PARTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/\"',"),
    min_size=1,
    max_size=8,
)
#: Paths with spaces, commas and odd letters; a suffix, as videos have it.
PATHS = st.builds(
    lambda parts, joint, suffix: joint.join(parts) + suffix,
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from([" ", "/", ", ", "_", "  "]),
    st.sampled_from([".mp4", ".avi"]),
)


@given(
    paths=st.lists(
        PATHS, min_size=1, max_size=8, unique_by=lambda p: str(Path("/x") / p.replace(".", "-"))
    ),
    separators=st.lists(st.sampled_from([" ", "\t", ",", ", ", "   "]), min_size=8, max_size=8),
    quoted=st.booleans(),
    frames=st.booleans(),
)
def test_whatever_is_written_is_read(
    paths: list[str], separators: list[str], quoted: bool, frames: bool
) -> None:
    # Windows of one list: any path, any separator, labels 0, 1, 2, ...
    if frames:
        # Folders, whose names have no suffix.
        paths = [path.replace(".", "-") + "-" for path in paths]
    lines = []
    for label, (path, separator) in enumerate(zip(paths, separators, strict=False)):
        name = f'"{path}"' if quoted else path
        lines.append(separator.join([name, *(["250"] if frames else []), str(label)]))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "list.txt"
        file.write_text("\n".join(lines), encoding="utf-8")
        manifest = load_manifest(file)
    assert [video.key for video in manifest.videos] == paths
    assert [video.label for video in manifest.videos] == list(range(len(paths)))


def test_the_real_manifest(ut_interaction: Path) -> None:
    manifest = load_manifest(ut_interaction / "manifest.csv")
    assert manifest.class_names == ("handshake", "hug", "kick", "point", "punch", "push")
    assert len(manifest) == 120 and len({video.group for video in manifest.videos}) == 20
    assert all(video.path.is_file() for video in manifest.videos)
    # A folder that holds a manifest.csv is that manifest, not two classes set1 and set2.
    assert load_manifest(ut_interaction).videos == manifest.videos


def test_a_plain_path_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_source("videos/x.csv", tmp_path) == Path("videos/x.csv")
    monkeypatch.setenv("EXPAND3D_CACHE", str(tmp_path / "c"))
    assert cache_root() == tmp_path / "c"
    monkeypatch.delenv("EXPAND3D_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "expand3d"


def test_the_bundled_clips_are_generated_once_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def generate(root: Path, *, seed: int = 0) -> Path:
        made.append(root)
        if len(made) == 1:
            (root / "half.mp4").touch()
            raise KeyboardInterrupt
        return listing(root, "path,label_name\na.mp4,left\n", "manifest.csv")

    monkeypatch.setattr(bundled, "generate", generate)
    with pytest.raises(KeyboardInterrupt):
        resolve_source("bundled", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    said: list[str] = []
    source = resolve_source("bundled", tmp_path / "cache", say=said.append)
    assert load_manifest(source).class_names == ("left",)
    assert resolve_source("bundled", tmp_path / "cache", say=said.append) == source
    assert len(made) == 2 and len(said) == 1
