"""The manifest: the videos that `--data` names and what each shows, read into one table.

Three forms are read:

- a folder of class folders, or of train/, val/ and test/ folders that hold class folders. A folder
  with a manifest.csv is that file; one with train.csv (.txt, .list) and val.csv is those lists;
  'videos/*/*' says how deep the class folders lie;
- a list without header, `path label` a line, parted by spaces, tabs, a comma or semicolon. What
  stands last is the label, so paths may hold spaces; of folders of frames `path frames label`;
- a CSV with a header: path, label and/or label_name, optionally split and group.

Paths are relative to the list's own folder, or to a prefix.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from expand3d.core.errors import DataError, nearest
from expand3d.data.layouts.folders import VIDEO_SUFFIXES, LeftOut, read_folder, read_pattern
from expand3d.data.layouts.lists import SPLIT_WORDS, Row, Split, read_listing

LIST_SUFFIXES = (".csv", ".txt", ".list", ".tsv")


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

    `left_out` says in one line what lies in a folder and is not read.
    """

    videos: tuple[Video, ...]
    class_names: tuple[str, ...]
    source: str
    left_out: str = ""

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
        return _two_lists(path, Path(val), prefix)
    left = LeftOut()
    if path.is_dir():
        lists = _lists_in(path)
        base = prefix if prefix and lists else path
        if lists:
            rows = _from_lists(lists, base)
        else:
            rows, left = read_folder(path)
    elif path.is_file():
        if path.suffix.lower() in VIDEO_SUFFIXES:
            raise DataError(f"{path}: one video is not a data set; give a folder or a list of them")
        base = prefix or path.parent
        rows = read_listing(path, base=base)
    elif found := read_pattern(str(path)):
        base, rows, left = found
    else:
        raise DataError(f"{path}: no such file or folder{_neighbour(path)}")
    return replace(_assemble(rows, source=path, base=base), left_out=left.text)


def _two_lists(train: Path, val: Path, prefix: Path | None) -> Manifest:
    """The videos of two lists, whose own folders the paths are relative to."""
    for path in (train, val):
        if not path.is_file():
            raise DataError(f"{path}: no such list; a list of the validation part needs two lists")
    base = prefix or Path(os.path.commonpath([train.absolute().parent, val.absolute().parent]))
    rows = _from_lists({"train": train, "val": val}, base)
    if prefix is None:
        homes = {str(path): os.path.relpath(path.absolute().parent, base) for path in (train, val)}
        rows = [
            replace(row, path=os.path.normpath(os.path.join(homes[_list_of(row)], row.path)))
            for row in rows
        ]
    return _assemble(rows, source=train, base=base)


def _list_of(row: Row) -> str:
    """The list in which a row stands."""
    return row.where.rpartition(", line ")[0]


def _assemble(rows: list[Row], *, source: Path, base: Path) -> Manifest:
    """Rows with labels as numbers or names, made one table with unique paths."""
    rows = _one_spelling(rows)
    seen: dict[str, Row] = {}
    for row in rows:
        place = os.path.normpath(base / row.path)
        if place in seen:
            raise DataError(f"{row.where}: {row.path} stands already in {seen[place].where}")
        seen[place] = row
    names = _class_names(rows, source)
    numbers = {name: number for number, name in enumerate(names)}
    keys = _keys([row.path for row in rows])
    videos = tuple(
        Video(
            path=Path(os.path.abspath(base / row.path)),
            key=key,
            label=numbers[row.name] if row.label is None else row.label,
            group=row.group,
            split=row.split,
        )
        for row, key in zip(rows, keys, strict=True)
    )
    return Manifest(videos=videos, class_names=names, source=str(source))


def _one_spelling(rows: list[Row]) -> list[Row]:
    """The rows with one name per class: letters with accents in one code or in two are the same."""
    first: dict[str, str] = {}
    names = [first.setdefault(unicodedata.normalize("NFC", row.name), row.name) for row in rows]
    return [replace(row, name=name) for row, name in zip(rows, names, strict=True)]


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


def _lists_in(folder: Path) -> dict[str, Path]:
    """Lists that a folder holds under the names that training codebases give them, by split."""
    whole = folder / "manifest.csv"
    if whole.is_file():
        return {"": whole}
    found = {
        split: folder / f"{split}{suffix}"
        for split in ("train", "val", "test")
        for suffix in LIST_SUFFIXES
        if (folder / f"{split}{suffix}").is_file()
    }
    return found if {"train", "val"} <= set(found) else {}


def _from_lists(lists: dict[str, Path], base: Path) -> list[Row]:
    rows: list[Row] = []
    for split, path in lists.items():
        for row in read_listing(path, base=base):
            rows.append(replace(row, split=SPLIT_WORDS[split]) if split else row)
    if len({row.label is None for row in rows}) > 1:
        raise DataError(f"{lists['train'].parent}: some lists give labels and some only label_name")
    return rows


def _neighbour(path: Path) -> str:
    """A hint at what is there instead."""
    if not path.parent.is_dir():
        return ""
    names = [entry.name for entry in path.parent.iterdir()]
    hint = nearest(path.name, names)
    return hint if "did you mean" in hint else ""
