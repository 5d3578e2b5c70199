"""Parts of a data set: disjoint, covering, by group, in proportion, and the same every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.core.errors import DataError
from expand3d.data.manifest import Manifest, Video, load_manifest
from expand3d.data.splits import Splits, folds, make_splits

PARTS = ("train", "val", "test")


def manifest_of(
    labels: Sequence[int],
    groups: Sequence[str | None] | None = None,
    splits: Sequence[str | None] | None = None,
) -> Manifest:
    videos = tuple(
        Video(
            path=Path(f"/v/{number}.mp4"),
            key=f"{number}.mp4",
            label=label,
            group=groups[number] if groups else None,
            split=splits[number] if splits else None,  # type: ignore[arg-type]
        )
        for number, label in enumerate(labels)
    )
    names = tuple(f"class{label}" for label in range(max(labels) + 1))
    return Manifest(videos=videos, class_names=names, source="made up")


def per_class(manifest: Manifest, indices: Sequence[int]) -> dict[int, int]:
    return dict(sorted(Counter(manifest.videos[i].label for i in indices).items()))


def groups_of(manifest: Manifest, indices: Sequence[int]) -> set[str | None]:
    return {manifest.videos[i].group for i in indices}


def assert_partition(manifest: Manifest, splits: Splits) -> None:
    joined = [*splits.train, *splits.val, *splits.test]
    assert sorted(joined) == list(range(len(manifest)))


def test_fractions_hold_in_every_class() -> None:
    manifest = manifest_of([0] * 50 + [1] * 100 + [2] * 10)
    splits = make_splits(manifest, seed=3)
    assert_partition(manifest, splits)
    assert per_class(manifest, splits.test) == {0: 10, 1: 20, 2: 2}
    assert per_class(manifest, splits.val) == {0: 10, 1: 20, 2: 2}
    assert splits.notes == ()
    assert splits.part_of()[splits.val[0]] == "val"


def test_seeds_differ_and_repeat() -> None:
    for manifest in (
        manifest_of([0, 1] * 40),
        manifest_of([0, 1] * 40, [f"g{n // 4}" for n in range(80)]),
    ):
        assert make_splits(manifest, seed=1) == make_splits(manifest, seed=1)
        assert len({make_splits(manifest, seed=seed).val for seed in range(5)}) > 1
        assert len({make_splits(manifest, seed=seed).test for seed in range(5)}) > 1


LABELS_AND_GROUPS = st.lists(
    st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 9))), min_size=6, max_size=60
)


@given(rows=LABELS_AND_GROUPS, seed=st.integers(0, 50))
def test_no_group_stands_on_two_sides(rows: list[tuple[int, int | None]], seed: int) -> None:
    groups = [None if group is None else f"g{group}" for _, group in rows]
    manifest = manifest_of([label for label, _ in rows], groups)
    units = len({group for group in groups if group}) + groups.count(None)
    if units < 2:
        with pytest.raises(DataError, match="no clip is left to choose by"):
            make_splits(manifest, seed=seed)
        return
    splits = make_splits(manifest, seed=seed)
    assert_partition(manifest, splits)
    assert splits.train and splits.val
    assert bool(splits.test) == (units > 2)
    sides = [groups_of(manifest, part) - {None} for part in (splits.train, splits.val, splits.test)]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert splits == make_splits(manifest, seed=seed)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Labelled clips of which some have a group, some a part, and most neither contradict."""
    clip = st.tuples(
        st.integers(0, 3),
        st.none() | st.integers(0, 9),
        st.sampled_from(("as its group", "free", *PARTS)),
    )
    clips = draw(st.lists(clip, min_size=6, max_size=60))
    of_group = draw(st.lists(st.none() | st.sampled_from(PARTS), min_size=10, max_size=10))
    parts: list[str | None] = []
    for _, group, word in clips:
        alike = of_group[group] if group is not None else None
        parts.append({"as its group": alike, "free": None}.get(word, word))
    groups = [None if group is None else f"g{group}" for _, group, _ in clips]
    return manifest_of([label for label, *_ in clips], groups, parts)


def sides(manifest: Manifest, parts: Mapping[int, str | None]) -> dict[str, set[str]]:
    """The parts that each group stands in, those of clips that have one."""
    found: dict[str, set[str]] = {}
    for index, part in parts.items():
        group = manifest.videos[index].group
        if group is not None and part is not None:
            found.setdefault(group, set()).add(part)
    return found


@given(manifest=manifests(), seed=st.integers(0, 20), data=st.data())
def test_only_a_manifest_tears_groups(manifest: Manifest, seed: int, data: st.DataObject) -> None:
    known = sorted({video.group for video in manifest.videos if video.group})
    names = data.draw(st.lists(st.sampled_from(known), unique=True, max_size=3)) if known else []
    cut = data.draw(st.integers(0, len(names)))
    chosen: dict[str, Any] = {"val_groups": names[:cut], "test_groups": names[cut:]}
    try:
        splits = make_splits(manifest, seed=seed, **chosen)
    except DataError as error:
        assert "no clip is left" in str(error)
        return
    assert_partition(manifest, splits)
    given_sides = sides(manifest, {i: video.split for i, video in enumerate(manifest.videos)})
    torn = {group for group, found in sides(manifest, splits.part_of()).items() if len(found) > 1}
    assert torn <= {group for group, found in given_sides.items() if len(found) > 1}
    assert not torn & set(names)
    assert any("stand in two parts" in note for note in splits.notes) == bool(torn)
    # What is named or assigned stands where it was put; training clips may be taken for validation.
    for index, part in splits.part_of().items():
        video = manifest.videos[index]
        if video.group in names:
            assert part == ("val" if video.group in names[:cut] else "test")
        elif video.split is not None and not chosen.get(f"{video.split}_groups"):
            assert part == video.split or (video.split, part) == ("train", "val")


def test_free_clips_join_their_group() -> None:
    groups = [f"g{n // 4}" for n in range(40)]
    # Of the last two groups one clip each is assigned, as when a list names the test clips alone.
    assigned = {32: "test", 39: "test"}
    manifest = manifest_of([0, 1] * 20, groups, [assigned.get(n) for n in range(40)])
    for seed in range(10):
        splits = make_splits(manifest, seed=seed)
        assert splits.test == tuple(range(32, 40))
        assert len(splits.val) == 8 and not any("two parts" in note for note in splits.notes)
    assigned = {0: "val", 4: "train"}
    manifest = manifest_of([0, 1] * 20, groups, [assigned.get(n) for n in range(40)])
    assert make_splits(manifest).val == (0, 1, 2, 3)


def test_a_free_clip_of_a_torn_group_trains_where_the_group_does() -> None:
    groups, rest = ["g"] * 3, ["h"] * 3
    manifest = manifest_of([0] * 6, groups + rest, ["test", "train", None, "val", "test", None])
    splits = make_splits(manifest)
    assert (splits.train, splits.val, splits.test) == ((1, 2), (3, 5), (0, 4))


@given(
    members=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=8, max_size=30),
    singles=st.integers(0, 20),
    val=st.integers(1, 6).map(lambda tenths: tenths / 10),
    test=st.integers(0, 3).map(lambda tenths: tenths / 10),
    named=st.integers(0, 3),
    seed=st.integers(0, 20),
)
def test_shares_are_of_all_clips_within_a_group(
    members: list[list[int]], singles: int, val: float, test: float, named: int, seed: int
) -> None:
    groups: list[str | None] = [f"g{n}" for n, labels in enumerate(members) for _ in labels]
    labels = [label for group in members for label in group] + [0] * singles
    manifest = manifest_of(labels, [*groups, *[None] * singles])
    count, sizes = len(manifest), [len(group) for group in members]
    within = max(sizes) + len(set(labels)) - 1  # every class is rounded
    chosen = [f"g{number}" for number in range(named)]
    splits = make_splits(manifest, seed=seed, val=val, test=test, val_groups=chosen)
    free = count - sum(sizes[:named])
    if test:  # beside named groups half of the rest at most, so that something trains
        wanted = min(test * count, free / 2) if named else test * count
        assert abs(len(splits.test) - wanted) <= within
    if named:
        assert len(splits.val) == count - free
    else:
        assert abs(len(splits.val) - val * count) <= within


@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=40),
    val=st.integers(1, 4).map(lambda tenths: tenths / 10),
    test=st.integers(0, 4).map(lambda tenths: tenths / 10),
    seed=st.integers(0, 20),
)
def test_parts_of_single_clips_have_their_share_however_small_the_classes(
    counts: list[int], val: float, test: float, seed: int
) -> None:
    """Exactly the share, or all that leave each class a clip to train on, or a refusal."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    clips, spare = len(labels), len(labels) - len(counts)
    if clips < 3:
        return
    manifest = manifest_of(labels)

    def taken(wanted: int, spare: int) -> int:
        return min(wanted, spare) or int(wanted == 1)  # one clip may be a class's last

    wanted = max(1, round(test * clips)) if test else 0
    tested = taken(wanted, spare)
    asked = max(1, round(val * clips / (clips - tested) * (clips - tested)))
    chosen = taken(asked, max(0, spare - tested))
    if 2 * tested < wanted or 2 * chosen < asked:
        with pytest.raises(DataError, match="no clip is left"):
            make_splits(manifest, seed=seed, val=val, test=test)
        return
    splits = make_splits(manifest, seed=seed, val=val, test=test)
    assert_partition(manifest, splits)
    assert len(splits.test) == tested
    assert len(splits.val) == chosen
    if tested + chosen <= spare:
        assert set(per_class(manifest, splits.train)) == set(range(len(counts)))
    if min(counts) > 1 and test:  # every class has one to spare: its own share, rounded
        held = per_class(manifest, splits.test)
        assert all(abs(held.get(c, 0) - test * n) < 1 for c, n in enumerate(counts))


@given(
    groups=st.lists(st.integers(3, 6), min_size=2, max_size=12),
    size=st.integers(2, 5),
    seed=st.integers(0, 20),
)
def test_parts_of_groups_have_their_share_however_few_a_class_has(
    groups: list[int], size: int, seed: int
) -> None:
    labels = [label for label, count in enumerate(groups) for _ in range(count * size)]
    manifest = manifest_of(labels, [f"g{n // size}" for n in range(len(labels))])
    splits = make_splits(manifest, seed=seed)
    for part in (splits.test, splits.val):
        assert abs(len(part) - 0.2 * len(labels)) <= size / 2 + 1e-9
    assert set(per_class(manifest, splits.train)) == set(range(len(groups)))


def test_parts_of_many_small_classes_have_their_share() -> None:
    manifest = manifest_of([label for label in range(700) for _ in range(2)])
    splits = make_splits(manifest)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [840, 280, 280]
    assert set(per_class(manifest, splits.train)) == set(range(700))
    paired = manifest_of([n // 8 for n in range(400)], [f"g{n // 4}" for n in range(400)])
    splits = make_splits(paired)  # fifty classes of two groups
    assert [len(splits.train), len(splits.val), len(splits.test)] == [240, 80, 80]
    before = make_splits(manifest, rule=2)
    assert [len(before.train), len(before.val), len(before.test)] == [1398, 1, 1]


def test_classes_of_one_clip_are_refused_with_what_would_help() -> None:
    with pytest.raises(DataError, match="30 classes have no other"):
        make_splits(manifest_of([*range(30), 30, 30, 30]))


def test_groups_that_are_too_large_for_a_share_are_said() -> None:
    manifest = manifest_of([0, 1] * 30, ["big"] * 56 + ["a", "a", "b", "b"])
    splits = make_splits(manifest)
    assert "the test part has 2 of the 12 clips that its share asks for" in splits.notes[0]
    assert "smaller groups would help" in splits.notes[0]


def test_splits_of_before_can_be_had_again() -> None:
    groups = [f"g{n // 4}" for n in range(40)]
    manifest = manifest_of([0, 1] * 20, groups)
    named = {"val_groups": ("g0", "g1", "g2", "g3", "g4")}
    assert len(make_splits(manifest, **named).test) == 8  # a fifth of all
    assert len(make_splits(manifest, **named, rule=1).test) == 4  # a fifth of the rest
    torn = manifest_of([0, 1] * 20, groups, ["test", *[None] * 39])
    assert make_splits(torn, rule=1).test == (0,)
    for each in (manifest, manifest_of([0, 1] * 20)):
        assert make_splits(each, rule=1) == make_splits(each)


@given(rows=LABELS_AND_GROUPS, k=st.integers(2, 6), seed=st.integers(0, 50))
def test_folds_cover_once_and_keep_groups(
    rows: list[tuple[int, int | None]], k: int, seed: int
) -> None:
    labels = [label for label, _ in rows]
    groups = [None if group is None else f"g{group}" for _, group in rows]
    indices = list(range(1, len(rows)))
    units = len({groups[i] for i in indices if groups[i]}) + sum(groups[i] is None for i in indices)
    if units < k:
        with pytest.raises(DataError, match="folds"):
            folds(indices, labels, groups, k=k, seed=seed)
        return
    held = folds(indices, labels, groups, k=k, seed=seed)
    assert len(held) == k and all(held)
    assert sorted(index for fold in held for index in fold) == indices
    where = {index: number for number, fold in enumerate(held) for index in fold}
    for group in {groups[i] for i in indices} - {None}:
        assert len({where[i] for i in indices if groups[i] == group}) == 1
    assert held == folds(indices, labels, groups, k=k, seed=seed)


def test_single_clips_are_dealt_evenly() -> None:
    labels = [0] * 13 + [1] * 8 + [2] * 9
    held = folds(range(30), labels, [None] * 30, k=4, seed=0)
    for label in (0, 1, 2):
        counts = [sum(labels[i] == label for i in fold) for fold in held]
        assert max(counts) - min(counts) <= 1
    assert max(map(len, held)) - min(map(len, held)) <= 1


def test_unequal_groups_are_balanced_by_class() -> None:
    # Group n has one class only; ten groups a class. Best is two of each class in every fold.
    labels = [n // 10 for n in range(30) for _ in range(4)]
    groups = [f"g{n}" for n in range(30) for _ in range(4)]
    held = folds(range(120), labels, groups, k=5, seed=1)
    for fold in held:
        assert Counter(labels[i] for i in fold) == {0: 8, 1: 8, 2: 8}
    manifest = manifest_of(labels, groups)
    splits = make_splits(manifest, seed=1)
    assert per_class(manifest, splits.test) == {0: 8, 1: 8, 2: 8}
    assert per_class(manifest, splits.val) == {0: 8, 1: 8, 2: 8}


def test_what_the_file_says_holds() -> None:
    given_parts = ["train", "val", "test", "train", "val", "test"]
    manifest = manifest_of([0, 0, 0, 1, 1, 1], splits=given_parts)
    splits = make_splits(manifest, seed=9)
    assert (splits.train, splits.val, splits.test) == ((0, 3), (1, 4), (2, 5))
    assert splits.notes == ()


def test_train_and_val_alone_mean_no_test_part() -> None:
    splits = make_splits(manifest_of([0, 0, 0, 0], splits=["train", "train", "val", None]))
    assert (splits.train, splits.val, splits.test) == ((0, 1, 3), (2,), ())
    assert any(note.startswith("no test part") for note in splits.notes)


def test_a_test_part_alone_leaves_the_rest_to_be_drawn() -> None:
    parts = ["test"] * 20 + [None] * 80
    manifest = manifest_of([0, 1] * 50, splits=parts)
    splits = make_splits(manifest, seed=0, val=0.25)
    assert splits.test == tuple(range(20))
    assert per_class(manifest, splits.val) == {0: 10, 1: 10}
    assert_partition(manifest, splits)


def test_named_groups_override(ut_interaction: Path) -> None:
    manifest = load_manifest(ut_interaction)
    chosen = ("seq09", "seq10", "seq19", "seq20")
    splits = make_splits(manifest, seed=0, test_groups=chosen)
    assert groups_of(manifest, splits.test) == set(chosen) and len(splits.test) == 24
    # A fifth of all clips, from the sixteen other sequences.
    assert len(splits.val) == 24 and len(groups_of(manifest, splits.val)) == 4
    both = make_splits(manifest, seed=0, test_groups=chosen, val_groups=("seq01", "seq11"))
    assert groups_of(manifest, both.val) == {"seq01", "seq11"}
    assert len(both.train) == 84


def test_weak_points_are_said() -> None:
    torn = manifest_of([0, 0], ["g", "g"], ["train", "val"])
    assert any("groups stand in two parts" in note for note in make_splits(torn).notes)
    lacking = manifest_of([0, 1, 0], splits=["train", "train", "val"])
    notes = make_splits(lacking).notes
    assert "the val part has no clip of class1" in notes
    alone = "all clips of the val part are of one class, class0; no network can be chosen by it"
    assert f"WARNING: {alone}" in notes
    many = make_splits(manifest_of([*range(300), 0, 1], splits=["train"] * 300 + ["val"] * 2)).notes
    assert (
        "the val part has no clip of 298 of the 300 classes: "
        "class2, class3, class4, class5, class6, ..." in many
    )
    assert not any("WARNING" in note for note in many)
    assert any("not asked" in n for n in make_splits(manifest_of([0] * 9), test=0.0).notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"val_groups": ("g0", "g1", "g2")}, "no clip is left to train on"),
        ({"val": 0.0}, "fractions of all clips"),
        ({"val": 0.6, "test": 0.4}, "together below 1"),
        ({"test_groups": ("g9",)}, r"test groups: unknown group 'g9'"),
        ({"test_groups": ("g1",), "val_groups": ("g1",)}, "cannot be in the test and the valid"),
        ({"test_groups": ("g0", "g1", "g2")}, "no clip is left to train on"),
    ],
)
def test_impossible_splits_are_refused(arguments: dict, message: str) -> None:
    manifest = manifest_of([0, 1] * 6, [f"g{n // 4}" for n in range(12)])
    with pytest.raises(DataError, match=message):
        make_splits(manifest, **arguments)
