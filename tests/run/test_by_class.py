"""The clips of each class, in words."""

from __future__ import annotations

import dataclasses

from expand3d.data.splits import Splits
from expand3d.run.by_class import spread, too_few, training_clips
from tests.helpers.train_toys import make_store

NAMES = ("walk", "run", "jump")


def test_the_clips_of_each_class_are_counted() -> None:
    store = dataclasses.replace(make_store(7), labels=[0, 0, 0, 1, 1, 2, 2], class_names=NAMES)
    assert training_clips(store, range(6)) == "walk 3, run 2, jump 1"
    assert spread(store, range(6)) == "1 to 3 train a class"
    many = dataclasses.replace(store, class_names=tuple(f"c{n}" for n in range(13)))
    assert training_clips(many, range(6)) == "13 of 0 (c3) to 3 (c0) training clips"


def test_classes_that_cannot_be_split_are_named() -> None:
    store = dataclasses.replace(make_store(7), labels=[0, 0, 0, 0, 1, 1, 2], class_names=NAMES)
    parts = Splits((0, 1, 4, 6), (2,), (3, 5))
    said = "classes with too few clips to stand in all of the 3 parts: run (2), jump (1)"
    assert too_few(store, parts) == said
    assert too_few(store, Splits((0, 1, 4, 6), (2, 3, 5), ())) is not None
    assert "in all of the 4 folds and a test part: walk (4), run" in str(
        too_few(store, parts, folds=4)
    )
    assert too_few(dataclasses.replace(store, labels=[0, 0, 0, 1, 1, 1, 0]), parts) == (
        "classes with too few clips to stand in all of the 3 parts: jump (0)"
    )
