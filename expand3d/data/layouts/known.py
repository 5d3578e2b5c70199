"""The layouts that are ours: lists in a folder, one list, and class folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from expand3d.core.errors import DataError
from expand3d.data.layouts.folders import VIDEO_SUFFIXES, read_folder
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
    return Found(tuple(read_folder(path)), path) if path.is_dir() else None


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
