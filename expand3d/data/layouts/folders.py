"""Class folders: a folder of videos per class, or train/, val/ and test/ folders of them."""

from __future__ import annotations

from pathlib import Path

from expand3d.core.errors import DataError, nearest
from expand3d.data.layouts.lists import SPLIT_WORDS, Row, Split

VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
    *(".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"),
)


def read_folder(folder: Path) -> list[Row]:
    """A row per video of class folders, or of class folders inside train, val and test folders."""
    tops = _folders(folder)
    splits = {top.name: SPLIT_WORDS.get(top.name.lower()) for top in tops}
    # One class may well be called "train"; two of the words together are a split.
    if "train" in splits.values() and len(set(splits.values()) - {None}) > 1:
        for name, split in splits.items():
            if split is None:
                hint = nearest(name, sorted(SPLIT_WORDS))
                raise DataError(f"{folder / name}: not a split, beside folders that are{hint}")
        return [row for top in tops for row in _class_rows(folder, top, splits[top.name])]
    return _class_rows(folder, folder, None)


def _class_rows(root: Path, parent: Path, split: Split | None) -> list[Row]:
    """A row per video below each class folder in `parent`, in the order of the names."""
    rows = []
    for folder in _folders(parent):
        videos = sorted(path for path in folder.rglob("*") if _is_video(path, folder))
        if not videos:
            raise DataError(f"{folder}: a class folder without a video; remove it or fill it")
        for path in videos:
            key = path.relative_to(root).as_posix()
            rows.append(Row(where=str(folder), path=key, name=folder.name, split=split))
    if not rows:
        raise DataError(f"{parent}: holds no class folders (one folder of videos per class)")
    return rows


def _folders(parent: Path) -> list[Path]:
    return sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))


def _is_video(path: Path, below: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(below).parts)
    return path.suffix.lower() in VIDEO_SUFFIXES and not hidden and path.is_file()
