"""Parts that layouts share: annotation files and videos looked for where they usually lie."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from expand3d.core.errors import DataError
from expand3d.data.layouts.folders import VIDEO_SUFFIXES
from expand3d.data.layouts.lists import Row

#: Listed videos that are looked for in each folder that may hold them.
LOOKED_FOR = 25
#: Folders beside each other above which none is looked into: they are videos' own.
MANY_FOLDERS = 2000


def places(root: Path) -> list[Path]:
    """A folder and the folders in it, where these are not as many as videos are."""
    if not root.is_dir():
        return []
    with os.scandir(root) as entries:
        inner = sorted(e.path for e in entries if e.name[0] != "." and e.is_dir())
    return [root, *(Path(path) for path in inner[:MANY_FOLDERS])]


def named_files(root: Path, pattern: str) -> dict[str, Path]:
    """The files whose whole names match a pattern, by name, in a folder or in one inside it.

    The folder with most of them counts.
    """
    form = re.compile(pattern)
    best: dict[str, Path] = {}
    for place in places(root):
        with os.scandir(place) as entries:
            here = {e.name: Path(e.path) for e in entries if form.fullmatch(e.name) and e.is_file()}
        if len(here) > len(best):
            best = here
    return dict(sorted(best.items()))


def home_of(root: Path, listed: Sequence[str], *, usual: str) -> Path:
    """The folder that paths of a list are relative to: where most of some of them are.

    It is `root`, a folder in it, or one in such a folder; `usual` is one in `root` where none is.
    """
    step = max(1, len(listed) // LOOKED_FOR)
    some = listed[::step]
    best, most = root / usual, 0
    candidates = [root / usual, *places(root)]
    for place in [*candidates, *(d for c in candidates[1:] for d in _inside(c))]:
        here = sum((place / path).exists() for path in some)
        if here > most:
            best, most = place, here
        if most == len(some):
            break
    return best


def _inside(folder: Path) -> list[Path]:
    return places(folder)[1:]


def read_text(path: Path) -> str:
    """A file as text; DataError where it is none."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8 ({error.reason})") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def lines_of(path: Path) -> list[tuple[str, str]]:
    """The lines of a file that hold something, each with where it stands."""
    lines = enumerate(read_text(path).splitlines(), 1)
    return [(f"{path}, line {number}", line.strip()) for number, line in lines if line.strip()]


def numbered(rows: Iterable[Row], order: Sequence[str]) -> list[Row]:
    """The rows with the labels of an official order, where all of its classes have videos.

    Else they stay without numbers, and their names are put in the order of letters.
    """
    found = list(rows)
    if {row.name for row in found} != set(order):
        return found
    numbers: Mapping[str, int] = {name: number for number, name in enumerate(order)}
    return [replace(row, label=numbers[row.name]) for row in found]


def videos_below(root: Path) -> dict[str, list[Path]]:
    """All videos below a folder by their names without suffix."""
    found: dict[str, list[Path]] = {}
    for folder, _, names in os.walk(root, followlinks=True):
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in VIDEO_SUFFIXES and name[0] != ".":
                found.setdefault(stem, []).append(Path(folder, name))
    return found


def relative(path: Path, root: Path) -> str:
    """A path below a root as a list has it."""
    return path.relative_to(root).as_posix()
