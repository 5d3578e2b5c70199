"""A layout of data: a form in which videos and their labels lie on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Split = Literal["train", "val", "test"]

#: What a split column or folder may say, and the part that it means.
SPLIT_WORDS: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Row:
    """One video as its layout names it; `where` says in which file and line.

    `label` is None where only a name is given. `name` is the class's name, the
    label's digits where the list knows no names.
    """

    where: str
    path: str
    name: str
    label: int | None = None
    split: Split | None = None
    group: str | None = None


@dataclass(frozen=True)
class Found:
    """The videos of a source, and the folder that their paths are relative to."""

    rows: tuple[Row, ...]
    base: Path


class Layout(Protocol):
    """A function that reads one layout."""

    def __call__(self, path: Path, prefix: Path | None, /) -> Found | None:
        """The videos at `path`, which exists; None where they lie in another layout.

        `prefix` replaces the folder of relative paths where the layout has lists. DataError names
        file, line and rule where it is this layout and something in it is wrong.
        """
