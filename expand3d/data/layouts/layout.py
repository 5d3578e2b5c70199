"""A layout of data: a form in which videos and their labels lie on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from expand3d.data.layouts.lists import Row


@dataclass(frozen=True)
class Published:
    """The size of a data set as its authors give it: videos, classes, and videos by part.

    A part has the name that the manifest gives it. `videos` is None where only parts are known.
    """

    name: str
    classes: int
    videos: int | None = None
    parts: Mapping[str, int] = field(default_factory=dict)

    def compared(self, classes: int, videos: int, parts: Mapping[str, int]) -> str:
        """One line: the published counts beside those that are here."""
        pairs = [("classes", self.classes, classes)]
        if self.videos is not None:
            pairs.append(("videos", self.videos, videos))
        pairs += [(part, count, parts.get(part, 0)) for part, count in self.parts.items()]
        other = [
            f"{count:,} {what} (here {here:,})" for what, count, here in pairs if count != here
        ]
        if not other:
            return f"as many as {self.name} has"
        return f"{self.name} has {', '.join(other)}"


@dataclass(frozen=True)
class Found:
    """The videos of a source, and the folder that their paths are relative to.

    `left_out` says in one line what lies there and is not read, `said` what was recognised and how
    to choose otherwise. `published` is the size that the whole data set has.
    """

    rows: tuple[Row, ...]
    base: Path
    left_out: str = ""
    said: str = ""
    published: Published | None = None


class Layout(Protocol):
    """A function that reads one layout."""

    def __call__(self, path: Path, prefix: Path | None, /, **options: str) -> Found | None:
        """The videos at `path`; None where they lie in another layout, or nowhere.

        `prefix` replaces the folder of relative paths where the layout has lists. `options` are
        those that its row in `plugins.LAYOUTS` names. DataError names file, line and rule where it
        is this layout and something in it is wrong.
        """
