"""Folders of labelled videos: class folders, or split folders that hold class folders.

Whatever lies there and is not read is counted, so that nothing is dropped without a word. Where the
classes could be one level further down, nothing is guessed: the error names both readings.
"""

from __future__ import annotations

import glob
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from expand3d.core.errors import DataError, nearest
from expand3d.data.layouts.lists import SPLIT_WORDS, Row, Split
from expand3d.data.places import PICTURE_SUFFIXES

VIDEO_SUFFIXES = (
    *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".gif", ".m2ts", ".m2v", ".m4v"),
    *(".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv"),
    *(".ts", ".vob", ".webm", ".wmv"),
)
#: Files that lie beside videos in many data sets and are none.
OTHER_SUFFIXES = (
    *PICTURE_SUFFIXES,
    *(".csv", ".doc", ".htm", ".html", ".ini", ".json", ".jsonl", ".log", ".m4a", ".mat", ".md"),
    *(".mp3", ".npy", ".npz", ".pdf", ".pkl", ".py", ".rar", ".rtf", ".sh", ".srt", ".sub"),
    *(".tar", ".tsv", ".txt", ".vtt", ".wav", ".xls", ".xlsx", ".xml", ".yaml", ".yml", ".zip"),
)
#: What may stand behind a split's word in a folder's name: train_set, val-videos, test256.
_AFTER_SPLIT = re.compile(r"[-_ ]?(set|split|data|videos|clips|\d+)$")


@dataclass
class LeftOut:
    """The files of a folder that are not read: counts by reason, with an example each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, example: str) -> None:
        """Count one file or link."""
        self.counts[reason] += 1
        self.examples.setdefault(reason, example)

    @property
    def text(self) -> str:
        """One line for people, such as "left out: 3 (2 without a suffix such as a, ..."."""
        if not self.counts:
            return ""
        parts = (f"{n} {why} such as {self.examples[why]}" for why, n in self.counts.most_common())
        return f"left out: {self.counts.total()} ({', '.join(parts)})"


def read_folder(folder: Path) -> tuple[list[Row], LeftOut]:
    """A row per video of a folder, in the order of names, and what is not read.

    Raises DataError where the folder can be read in two ways, or in none.
    """
    left = LeftOut()
    tops = folders_in(folder)
    splits = {top: split_of(top.name) for top in tops}
    # One class may well be called "train"; two of the words together are a split.
    if "train" in splits.values() and len(set(splits.values()) - {None}) > 1:
        for top, split in splits.items():
            if split is None:
                hint = nearest(top.name, sorted(SPLIT_WORDS))
                raise DataError(f"{top}: not a split, beside folders that are{hint}")
        _count_loose(folder, folder, left)
        rows = []
        for top in tops:
            inner = folders_in(top)
            _refuse_two_readings(top, inner, f"{folder}/*/*")
            _count_loose(top, folder, left)
            rows += _of_classes(inner, folder, splits[top], left, parent=top)
    else:
        _refuse_two_readings(folder, tops, f"{folder}/*")
        _count_loose(folder, folder, left)
        rows = _of_classes(tops, folder, None, left, parent=folder)
    return _two_at_least(rows, folder), left


def read_pattern(pattern: str) -> tuple[Path, list[Row], LeftOut] | None:
    """The rows where each folder that `pattern` matches is a class; None where it is no pattern.

    "videos/*" makes the folders in videos classes, "videos/*/*" those one level further down,
    whatever lies inside them. The folder before the first star comes with the rows.
    """
    parts = Path(pattern).parts
    stars = [part for part in parts if part == "*"]
    if not stars or list(parts[-len(stars) :]) != stars:
        return None
    root = Path(*parts[: -len(stars)]) if len(parts) > len(stars) else Path(".")
    found = sorted(Path(match) for match in glob.glob(str(Path(glob.escape(str(root)), *stars))))
    classes = [path for path in found if path.is_dir() and not _hidden(path)]
    above = {path: path.relative_to(root).parts[:-1] for path in classes}
    words = {split_of(names[0]) for names in above.values() if names}
    left = LeftOut()
    for place in sorted({path.parent for path in classes}):
        _count_loose(place, root, left)
    rows = []
    for path in classes:
        is_split = above[path] and "train" in words and len(words - {None}) > 1
        split = split_of(above[path][0]) if is_split else None
        rows += _of_classes([path], root, split, left, parent=root)
    if not rows:
        raise DataError(f"{pattern}: no such folders")
    return root, _two_at_least(rows, root), left


def split_of(name: str) -> Split | None:
    """The part that a folder's name means (train, val-set, test_256, dev); None where none."""
    word = name.lower()
    return SPLIT_WORDS.get(word) or SPLIT_WORDS.get(_AFTER_SPLIT.sub("", word))


def _hidden(path: Path) -> bool:
    """True for a file or folder that people do not see, or that an archive made by macOS adds."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def folders_in(parent: Path) -> list[Path]:
    """The folders in a folder, linked ones too, without hidden ones."""
    return sorted(p for p in parent.iterdir() if p.is_dir() and not _hidden(p))


def _of_classes(
    classes: list[Path], root: Path, split: Split | None, left: LeftOut, *, parent: Path
) -> list[Row]:
    """A row per video below each class folder."""
    rows = []
    for folder in classes:
        _refuse_odd_letters(folder)
        mine = LeftOut()
        videos = sorted(_videos(folder, root, mine))
        if not videos:
            raise DataError(_without_video(folder, mine))
        left.counts.update(mine.counts)
        left.examples = {**mine.examples, **left.examples}
        for path in videos:
            key = path.relative_to(root).as_posix()
            rows.append(Row(where=str(folder), path=key, name=folder.name, split=split))
    if not rows:
        raise DataError(f"{parent}: holds no class folders (one folder of videos per class)")
    return rows


def _videos(folder: Path, root: Path, left: LeftOut) -> Iterator[Path]:
    """The videos below a folder; linked folders are followed, a circle of links is refused."""
    above = {os.path.realpath(folder)}
    yield from _videos_below(folder, root, left, above)


def _videos_below(folder: Path, root: Path, left: LeftOut, above: set[str]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if _hidden(path):
            if path.suffix.lower() in VIDEO_SUFFIXES:
                left.add("hidden", _relative(path, root))
        elif path.is_dir():
            real = os.path.realpath(path)
            if real in above:
                raise DataError(f"{path}: a link to a folder around it; the links form a circle")
            yield from _videos_below(path, root, left, above | {real})
        elif _read_or_counted(path, root, left):
            yield path


def _read_or_counted(path: Path, root: Path, left: LeftOut) -> bool:
    """True for a video by its name; what else a file is goes into `left`."""
    suffix = path.suffix.lower()
    if path.is_symlink() and not path.exists():
        left.add("broken links", _relative(path, root))
    elif not path.is_file():
        left.add("no files", _relative(path, root))
    elif suffix in VIDEO_SUFFIXES:
        return True
    elif not suffix:
        left.add("without a suffix", _relative(path, root))
    elif suffix in OTHER_SUFFIXES:
        left.add("of other kinds", suffix)
    else:
        left.add("of unknown suffix", printable(suffix))
    return False


def _count_loose(folder: Path, root: Path, left: LeftOut) -> None:
    """Count the files beside class folders; what is a video there belongs to no class."""
    for path in sorted(folder.iterdir()):
        hidden = _hidden(path)
        if not path.is_dir() and not hidden and _read_or_counted(path, root, left):
            left.add("videos beside the class folders", _relative(path, root))


def _refuse_two_readings(parent: Path, folders: list[Path], pattern: str) -> None:
    """DataError where each folder holds nothing but folders of videos, which may be the classes."""
    inner = [_folders_of_videos(folder) for folder in folders]
    if not inner or not all(inner):
        return
    names = sorted({name for found in inner for name in found})
    some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    outer = ", ".join(folder.name for folder in folders[:3]) + (", ..." if folders[3:] else "")
    if len(folders) == 1 and pattern == f"{parent}/*":
        raise DataError(
            f"{parent}: holds one folder, {outer}, and that holds {len(names)} folders of videos "
            f"({some}); if those are the classes, give {folders[0]}; one class alone is no data set"
        )
    raise DataError(
        f"{parent}: which folders are the classes? {outer} hold only folders of videos: give "
        f"'{pattern}' if these {len(folders)} are the classes, or '{pattern}/*' if the "
        f"{len(names)} in them are ({some})"
    )


def _folders_of_videos(folder: Path) -> list[str]:
    """Names of the folders of videos in a folder; empty where it holds a video itself."""
    if _holds_video(folder):
        return []
    return [inner.name for inner in folders_in(folder) if any(_videos(inner, inner, LeftOut()))]


def _holds_video(folder: Path) -> bool:
    return any(
        path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and path.name[0] != "."
        for path in folder.iterdir()
    )


def _without_video(folder: Path, left: LeftOut) -> str:
    """The reason why a class folder gives no clip, and what to do."""
    pictures = next(
        (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURE_SUFFIXES),
        None,
    )
    if pictures is None:
        found = f" ({left.text})" if left.text else ""
        return f"{folder}: a class folder without a video; remove it or fill it{found}"
    home, name = pictures.parent, pictures.name
    digits = re.search(r"\d+(?=\D*$)", name)
    counted = f"%0{len(digits[0])}d" if digits else "%d"
    form = name[: digits.start()] + counted + name[digits.end() :] if digits else name
    return (
        f"{folder}: a class folder without a video but with pictures, such as {name}: folders of "
        f"frames, which are not read; join each to a video, for example: ffmpeg -framerate 30 "
        f"-start_number {int(digits[0]) if digits else 1} -i '{home / form}' '{home}.mp4'; where "
        "all are such folders, --data 'frames:PATH?fps=30' reads them"
    )


def _refuse_odd_letters(folder: Path) -> None:
    if printable(folder.name) != folder.name:
        raise DataError(
            f"{printable(str(folder))}: the name of a class is not text in UTF-8; rename it"
        )


def _two_at_least(rows: list[Row], root: Path) -> list[Row]:
    """The rows; DataError where all are of one class."""
    names = {unicodedata.normalize("NFC", row.name) for row in rows}
    if len(names) == 1:
        raise DataError(f"{root}: only one class, {names.pop()}; at least two are needed")
    return rows


def _relative(path: Path, root: Path) -> str:
    return printable(path.relative_to(root).as_posix())


def printable(name: str) -> str:
    """A file's name as text: bytes that are no UTF-8 become replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
