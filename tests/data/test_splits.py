"""Parts of a data set: disjoint, covering, by group, in proportion, and the same every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.core.errors import DataError
from expand3d.data.manifest import Manifest, Video, load_manifest
from expand3d.data.splits import Splits, folds, make_splits


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
    assert any("not asked" in n for n in make_splits(manifest_of([0] * 9), test=0.0).notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
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
