"""Videos under other names: known again by content, and by nothing less than all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.data.hashes import fingerprint
from expand3d.data.manifest import Manifest, Video
from expand3d.data.moved import Kept, under_kept_names

CLASSES = ("run", "sit", "walk")
#: name, class, content
BEFORE = [
    ("run/a.avi", "run", "A"),
    ("run/b.avi", "run", "B"),
    ("sit/a.avi", "sit", "C"),
    ("walk/a.avi", "walk", "D"),
    ("walk/c.avi", "walk", "E"),
]
Row = tuple[str, str, str]


def sha(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def data(
    rows: Sequence[Row], classes: Sequence[str] = (), home: str = "/old"
) -> tuple[Manifest, dict[Video, str]]:
    """The manifest that lists these rows, and the hashes of its videos."""
    names = tuple(classes) or tuple(sorted({name for _, name, _ in rows}))
    videos = tuple(Video(Path(home, key), key, names.index(name)) for key, name, _ in rows)
    shas = {video: sha(content) for video, (_, _, content) in zip(videos, rows, strict=True)}
    return Manifest(videos, names, home), shas


def kept(rows: Sequence[Row] = BEFORE, classes: Sequence[str] = CLASSES) -> Kept:
    manifest, shas = data(rows, classes)
    clips = {video.key: shas[video][:16] for video in manifest.videos}
    return Kept(clips, manifest.class_names, fingerprint(manifest, list(shas.values())))


def found(rows: Sequence[Row], *, classes: Sequence[str] = (), record: Kept | None = None):  # type: ignore[no-untyped-def]
    manifest, shas = data(rows, classes, home="/new")
    return under_kept_names(manifest, shas, record or kept(), group_by_name=False)


def as_before(rows: Sequence[Row], **others: object) -> dict[str, str]:
    """The places of the study's clips now, by the study's names; all else is the study's."""
    manifest = found(rows, **others)  # type: ignore[arg-type]
    assert manifest is not None
    assert manifest.class_names == CLASSES
    assert [v.key for v in manifest.videos] == [key for key, _, _ in BEFORE]
    assert [CLASSES[v.label] for v in manifest.videos] == [name for _, name, _ in BEFORE]
    return {v.key: str(v.path.relative_to("/new")) for v in manifest.videos}


def test_a_list_with_other_relative_paths() -> None:
    rows = [(f"videos/2024/{key}", name, content) for key, name, content in BEFORE]
    assert as_before(rows) == {key: f"videos/2024/{key}" for key, _, _ in BEFORE}


@pytest.mark.parametrize(
    "names",
    [
        {"walk": "walking"},
        {"run": "zoom"},  # the last of the classes now
        {"run": "z", "sit": "y", "walk": "x"},  # all in the reverse order
        {"run": "walking", "walk": "running"},
    ],
)
def test_class_folders_under_other_names(names: dict[str, str]) -> None:
    rows = []
    for key, name, content in BEFORE:
        folder, _, file = key.partition("/")
        rows.append((f"{names.get(folder, folder)}/{file}", names.get(name, name), content))
    where = as_before(sorted(rows))
    assert where == {old[0]: new[0] for old, new in zip(BEFORE, rows, strict=True)}


def test_files_under_other_names_in_another_order() -> None:
    rows = [(f"{name}/{number}.avi", name, c) for number, (_, name, c) in enumerate(BEFORE)]
    assert as_before(rows[::-1])["run/b.avi"] == "run/1.avi"


def test_a_class_of_a_flat_list_under_another_name() -> None:
    flat = [(content, name, content) for _, name, content in BEFORE]
    record = kept(flat)
    names = {"run": "run", "sit": "sit", "walk": "stroll"}
    rows = [(f"v/{key}", names[name], content) for key, name, content in flat]
    manifest = found(rows, record=record)
    assert manifest is not None and manifest.class_names == CLASSES
    assert [v.key for v in manifest.videos] == ["A", "B", "C", "D", "E"]


def test_unchanged_is_told_from_changed() -> None:
    manifest, shas = data(BEFORE, home="/new")
    assert kept().unchanged(manifest, shas)
    renamed = replace(manifest, class_names=("run", "sit", "stroll"))
    assert not kept().unchanged(renamed, shas)
    assert not kept().unchanged(manifest, {**shas, manifest.videos[0]: sha("X")})
    skipping = replace(kept(), skipped=frozenset(["sit/broken.avi"]))
    broken = Video(Path("/new/sit/broken.avi"), "sit/broken.avi", 1)
    assert skipping.unchanged(replace(manifest, videos=(*manifest.videos, broken)), shas)


def swapped(index: int, row: Row) -> list[Row]:
    return [row if i == index else before for i, before in enumerate(BEFORE)]


@pytest.mark.parametrize(
    "rows",
    [
        swapped(0, ("run/a.avi", "run", "X")),  # another content
        BEFORE[1:],  # one less
        swapped(0, ("walk/z.avi", "walk", "A")),  # another label
        # The contents of two classes change places: names and labels say otherwise than before.
        [*swapped(0, ("run/a.avi", "run", "D"))[:3], ("walk/a.avi", "walk", "A"), BEFORE[4]],
        # A class is split.
        swapped(4, ("jump/c.avi", "jump", "E")),
        # Two classes become one.
        [(key, "run" if name == "sit" else name, content) for key, name, content in BEFORE],
    ],
)
def test_what_changed_is_not_the_data_of_the_study(rows: list[Row]) -> None:
    assert found(rows) is None


def test_clips_with_the_same_bytes_keep_their_names_where_they_can() -> None:
    rows = [("run/a.avi", "run", "A"), ("run/b.avi", "run", "A"), ("sit/c.avi", "sit", "B")]
    manifest, shas = data([(f"new/{key}", name, c) for key, name, c in rows[::-1]], home="/new")
    again = under_kept_names(manifest, shas, kept(rows, ("run", "sit")), group_by_name=False)
    assert again is not None
    assert [(v.key, str(v.path)) for v in again.videos] == [
        ("run/a.avi", "/new/new/run/a.avi"),
        ("run/b.avi", "/new/new/run/b.avi"),
        ("sit/c.avi", "/new/new/sit/c.avi"),
    ]


def test_what_is_new_stays_and_comes_last() -> None:
    manifest = found([("new/walk/f.avi", "walk", "F"), *BEFORE])
    assert manifest is not None
    assert [v.key for v in manifest.videos] == [*kept().clips, "/new/new/walk/f.avi"]


def test_groups_and_splits_are_the_study_s() -> None:
    manifest, shas = data(BEFORE)
    videos = tuple(replace(v, group=v.key[-5], split="train") for v in manifest.videos)
    grouped = replace(manifest, videos=videos)
    record = replace(kept(), fingerprint=fingerprint(grouped, list(shas.values())))

    def again(**changes: object) -> Manifest | None:
        now = tuple(
            replace(v, key=f"x/{v.key}", **changes)  # type: ignore[arg-type]
            for v in videos
        )
        hashes = dict(zip(now, shas.values(), strict=True))
        return under_kept_names(replace(grouped, videos=now), hashes, record, group_by_name=False)

    same = again()
    assert same is not None and same.videos == videos
    assert again(group="elsewhere") is None
    assert again(split="val") is None


def test_groups_are_read_from_the_names_that_the_study_knows() -> None:
    rows = [
        ("run/v_run_g01_c01.avi", "run", "A"),
        ("run/v_run_g01_c02.avi", "run", "B"),
        ("sit/v_sit_g01_c01.avi", "sit", "C"),
    ]
    manifest, shas = data(rows)
    groups = ("v_run_g01", "v_run_g01", "v_sit_g01")
    videos = tuple(replace(v, group=g) for v, g in zip(manifest.videos, groups, strict=True))
    record = replace(
        kept(rows, ("run", "sit")),
        fingerprint=fingerprint(replace(manifest, videos=videos), list(shas.values())),
    )
    now, hashes = data([(f"{c}.avi", name, c) for _, name, c in rows], home="/new")
    again = under_kept_names(now, hashes, record, group_by_name=True)
    assert again is not None and tuple(v.group for v in again.videos) == groups


@given(st.data())
def test_any_renaming_that_keeps_classes_apart_is_seen_through(draw: st.DataObject) -> None:
    """Files, folders, order and the names of classes may all be others at once."""
    names = draw.draw(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=4, unique=True))
    names.sort()
    rows = [
        (f"{name}/{number}.avi", name, f"{name}{number}")
        for name in names
        for number in range(draw.draw(st.integers(1, 3)))
    ]
    others = draw.draw(
        st.lists(st.sampled_from("ijklmnop"), min_size=len(names), max_size=len(names), unique=True)
    )
    called = dict(zip(names, others, strict=True))
    moved = [(f"x/{called[n]}/{c}{n}.avi", called[n], c) for _, n, c in rows]
    moved = draw.draw(st.permutations(moved))
    again = found(moved, record=kept(rows, names))
    assert again is not None and again.class_names == tuple(names)
    assert [(v.key, names[v.label]) for v in again.videos] == [(key, name) for key, name, _ in rows]
    content = {f"/new/{key}": content for key, _, content in moved}
    assert [content[str(v.path)] for v in again.videos] == [content for _, _, content in rows]
