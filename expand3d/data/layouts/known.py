"""The layouts that are ours: lists in a folder, one list, class folders, and a pattern of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from expand3d.core.errors import DataError
from expand3d.data.layouts.folders import VIDEO_SUFFIXES, read_folder, read_pattern
from expand3d.data.layouts.layout import Found
from expand3d.data.layouts.lists import SPLIT_WORDS, Row, read_listing

LIST_SUFFIXES = (".csv", ".txt", ".list", ".tsv")


def lists(path: Path, prefix: Path | None) -> Found | None:
    """The rows of the lists in a folder: manifest.csv, or train.csv (.txt, .list) and val.csv."""
    found = _lists_in(path) if path.is_dir() else {}
    if not found:
        return None
    base = prefix or path
    return Found(tuple(_from_lists(found, base)), base)


def one_list(path: Path, prefix: Path | None) -> Found | None:
    """The rows of one list; DataError where the file is a video."""
    if not path.is_file():
        return None
    if path.suffix.lower() in VIDEO_SUFFIXES:
        raise DataError(f"{path}: one video is not a data set; give a folder or a list of them")
    base = prefix or path.parent
    return Found(tuple(read_listing(path, base=base)), base)


def class_folders(path: Path, prefix: Path | None) -> Found | None:
    """The videos of a folder by class; `prefix` means nothing here."""
    if not path.is_dir():
        return None
    rows, left = read_folder(path)
    return Found(tuple(rows), path, left.text)


def pattern(path: Path, prefix: Path | None) -> Found | None:
    """The videos below the folders that "videos/*" or "videos/*/*" matches, each a class."""
    if (found := read_pattern(str(path))) is None:
        return None
    base, rows, left = found
    return Found(tuple(rows), base, left.text)


def two_lists(train: Path, val: Path, prefix: Path | None) -> Found:
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
    return Found(tuple(rows), base)


def _list_of(row: Row) -> str:
    """The list in which a row stands."""
    return row.where.rpartition(", line ")[0]


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
