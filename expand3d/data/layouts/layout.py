"""A layout of data: a form in which videos and their labels lie on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from expand3d.data.layouts.lists import Row


@dataclass(frozen=True)
class Found:
    """The videos of a source, and the folder that their paths are relative to.

    `left_out` says in one line what lies there and is not read.
    """

    rows: tuple[Row, ...]
    base: Path
    left_out: str = ""


class Layout(Protocol):
    """A function that reads one layout."""

    def __call__(self, path: Path, prefix: Path | None, /) -> Found | None:
        """The videos at `path`; None where they lie in another layout, or nowhere.

        `prefix` replaces the folder of relative paths where the layout has lists. DataError names
        file, line and rule where it is this layout and something in it is wrong.
        """
