"""The manifest: the videos that `--data` names and what each shows, read into one table.

Each form that is read is a row of `plugins.LAYOUTS`; installed packages may offer more. A source
may name its layout, `ucf101:PATH?split=1`. Beside those of known data sets (`docs/data.md`) are:

- a folder of class folders, or of train/, val/ and test/ folders that hold class folders. A folder
  with a manifest.csv is that file; one with train.csv (.txt, .list) and val.csv is those lists;
  'videos/*/*' says how deep the class folders lie;
- a list without header, `path label` a line, parted by spaces, tabs, a comma or semicolon. What
  stands last is the label, so paths may hold spaces; of folders of frames `path frames label`;
- a CSV with a header: path, label and/or label_name, optionally split and group.

Paths are relative to the list's own folder, or to a prefix. What all share stands here: unique
paths, classes numbered without gaps, names that stay when the data moves.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from expand3d.core.errors import DataError, nearest
from expand3d.core.plugins import LAYOUTS
from expand3d.data.layouts.known import two_lists
from expand3d.data.layouts.layout import Found, Layout, Published
from expand3d.data.layouts.lists import Row, Split
from expand3d.data.layouts.named import parse_named


@dataclass(frozen=True)
class Video:
    """One video: where it is, its unique stable name, its class, and what the list says besides."""

    path: Path
    key: str
    label: int
    group: str | None = None
    split: Split | None = None


@dataclass(frozen=True)
class Manifest:
    """Labelled videos; `class_names[label]` names a class; `source` is what was read.

    `left_out` says in one line what lies in a folder and is not read, `said` what was recognised.
    `published` is the size that the whole data set has.
    """

    videos: tuple[Video, ...]
    class_names: tuple[str, ...]
    source: str
    left_out: str = ""
    said: str = ""
    published: Published | None = None

    def __len__(self) -> int:
        return len(self.videos)

    def without(self, keys: Iterable[str]) -> Manifest:
        """The manifest that lacks the videos named by `keys`; the classes stay as they are."""
        dropped = set(keys)
        kept = tuple(video for video in self.videos if video.key not in dropped)
        return replace(self, videos=kept)


def load_manifest(
    source: Path | str, *, prefix: Path | None = None, val: Path | str | None = None
) -> Manifest:
    """The labelled videos that a folder or a list names; files are not opened yet.

    With `val` both are lists, of the training and of the validation part. Raises DataError naming
    file, line and rule.
    """
    path = Path(source)
    if val is not None:
        return _assembled(two_lists(path, Path(val), prefix), path)
    read: Layout
    if (named := parse_named(str(source))) is not None:
        read, path = LAYOUTS.load(named.layout), named.path
        if (found := read(path, prefix, **named.options)) is not None:
            return replace(_assembled(found, path), source=named.text)
        if path.exists():
            help = LAYOUTS.row(named.layout).help
            raise DataError(f"{path}: not in the layout {named.layout} ({help})")
        raise DataError(f"{path}: no such file or folder{_neighbour(path)}")
    for name in LAYOUTS.everyone():
        read = LAYOUTS.load(name)
        if (found := read(path, prefix)) is not None:
            return _assembled(found, path)
    raise DataError(f"{path}: no such file or folder{_neighbour(path)}")


def _assembled(found: Found, source: Path) -> Manifest:
    manifest = _assemble(list(found.rows), source=source, base=found.base)
    return replace(manifest, left_out=found.left_out, said=found.said, published=found.published)


def _assemble(rows: list[Row], *, source: Path, base: Path) -> Manifest:
    """Rows with labels as numbers or names, made one table with unique paths."""
    rows = _one_spelling(rows)
    seen: dict[str, Row] = {}
    home = os.path.abspath(base)
    for row in rows:
        place = os.path.normpath(os.path.join(home, row.path))
        if place in seen:
            raise DataError(f"{row.where}: {row.path} stands already in {seen[place].where}")
        seen[place] = row
    names = _class_names(rows, source)
    numbers = {name: number for number, name in enumerate(names)}
    keys = _keys([row.path for row in rows])
    videos = tuple(
        Video(
            path=Path(place),
            key=key,
            label=numbers[row.name] if row.label is None else row.label,
            group=row.group,
            split=row.split,
        )
        for (place, row), key in zip(seen.items(), keys, strict=True)
    )
    return Manifest(videos=videos, class_names=names, source=str(source))


def _one_spelling(rows: list[Row]) -> list[Row]:
    """The rows with one name per class: letters with accents in one code or in two are the same."""
    first: dict[str, str] = {}
    names = [first.setdefault(unicodedata.normalize("NFC", row.name), row.name) for row in rows]
    return [
        row if row.name == name else replace(row, name=name)
        for row, name in zip(rows, names, strict=True)
    ]


def _class_names(rows: list[Row], source: Path) -> tuple[str, ...]:
    """The name of each label: as given, or the number; DataError on contradictions and gaps."""
    if rows[0].label is None:
        return tuple(sorted({row.name for row in rows}))
    by_label: dict[int, Row] = {}
    by_name: dict[str, Row] = {}
    for row in rows:
        assert row.label is not None
        first = by_label.setdefault(row.label, row)
        if first.name != row.name:
            raise DataError(
                f"{row.where}: label {row.label} is {row.name!r} here and {first.name!r} in "
                f"{first.where}"
            )
        first = by_name.setdefault(row.name, row)
        if first.label != row.label:
            raise DataError(
                f"{row.where}: {row.name!r} has label {row.label} here and {first.label} in "
                f"{first.where}"
            )
    highest = max(by_label)
    missing = next((label for label in range(highest) if label not in by_label), None)
    if missing is not None:
        raise DataError(
            f"{source}: no clip has label {missing}, but {by_label[highest].where} has label "
            f"{highest}; labels are 0, 1, 2, ... without gaps"
        )
    return tuple(by_label[label].name for label in range(highest + 1))


def _keys(paths: list[str]) -> list[str]:
    """Names that stay when the data moves: absolute paths are cut to what differs among them."""
    if len(paths) < 2 or not all(os.path.isabs(path) for path in paths):
        return paths
    common = os.path.commonpath(paths)
    return [Path(os.path.relpath(path, common)).as_posix() for path in paths]


def _neighbour(path: Path) -> str:
    """A hint at what is there instead."""
    if not path.parent.is_dir():
        return ""
    names = [entry.name for entry in path.parent.iterdir()]
    hint = nearest(path.name, names)
    return hint if "did you mean" in hint else ""
