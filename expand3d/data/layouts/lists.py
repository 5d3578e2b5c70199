"""Lists of labelled videos as text: headerless `path label` lines, or a CSV with a header.

Quoting is that of RFC 4180: a quoted path may hold separators, line ends and doubled quotes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from expand3d.core.errors import DataError, nearest

Split = Literal["train", "val", "test"]

#: What a split column or folder may say, and the part that it means.
SPLIT_WORDS: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "val",
    "evaluation": "val",
    "test": "test",
    "testing": "test",
}

#: What a header may call the path, the label's number, its name, and what may be either.
COLUMNS: Mapping[str, str] = {
    **dict.fromkeys(("path", "file", "filename", "file_name", "filepath", "file_path"), "path"),
    **dict.fromkeys(
        ("video", "video_path", "videopath", "video_name", "clip", "clip_path"), "path"
    ),
    **dict.fromkeys(("label", "label_id", "class_id", "class_index", "class_idx"), "label"),
    **dict.fromkeys(("label_name", "class_name", "classname", "labelname"), "label_name"),
    **dict.fromkeys(("class", "category", "action", "target"), "class"),
    **dict.fromkeys(("split", "group"), ""),
}

#: What stands last on a line, behind a comma, semicolon, tab or spaces; before it, the rest.
_LAST_FIELD = re.compile(r"^(?P<rest>.*?\S)(?:\s*[,;]\s*|\s+)(?P<field>[^\s,;]+)$", re.DOTALL)
_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER_OR_NOTHING = re.compile(r"[+-]?[\d.]*", re.ASCII)
#: The end of a file's name, as folders of frames do not have it.
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}[\"']?$")


@dataclass(frozen=True)
class Row:
    """One line of a list: `where` says file and line; `label` is None where only a name is given.

    `name` is the class's name, the label's digits where the list knows no names.
    """

    where: str
    path: str
    name: str
    label: int | None = None
    split: Split | None = None
    group: str | None = None


def read_listing(path: Path, *, base: Path) -> list[Row]:
    """The rows of a list, at least one; the form is told by its first line.

    Paths are relative to `base`, which is looked at only where a line could be read in two ways.
    Raises DataError naming file, line and rule.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8 ({error.reason})") from None
    if "\n" not in text:
        text = text.replace("\r", "\n")
    first = next((line for line in text.splitlines() if line.strip()), None)
    if first is None:
        raise DataError(f"{path}: empty; expected one video and its label per line")
    delimiter = next((mark for mark in "\t;" if mark in first), ",")
    columns = [_column(cell) for cell in first.replace('"', "").split(delimiter)]
    if "path" in columns and len(columns) > 1:
        return _with_header(path, text, delimiter)
    return _without_header(path, text, base)


def _with_header(path: Path, text: str, delimiter: str) -> list[Row]:
    """Rows of a CSV whose first row names the columns; columns that it does not know are left."""
    header: list[str] = []
    read: list[tuple[str, dict[str, str]]] = []
    for number, cells in table(text, delimiter):
        if not any(cells):
            continue
        where = f"{path}, line {number}"
        if not header:
            header = _header(cells, where)
            continue
        if len(cells) != len(header):
            raise DataError(f"{where}: {len(cells)} cells under {len(header)} columns")
        read.append((where, dict(zip(header, cells, strict=True))))
    if not read:
        raise DataError(f"{path}: a header and no video")
    if (
        "label" in header
        and "label_name" not in header
        # Beside a number, or nothing, what is no number is a mistake.
        and not any(_NUMBER_OR_NOTHING.fullmatch(values["label"]) for _, values in read)
    ):
        for _, values in read:
            values["label_name"] = values.pop("label")
    if "class" in header:
        numbers = all(_WHOLE_NUMBER.fullmatch(values["class"]) for _, values in read)
        for _, values in read:
            values["label" if numbers else "label_name"] = values.pop("class")
    return [_row(values, where) for where, values in read]


def table(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV with the number of the line where each ends.

    Cells without quotes lose the spaces around them, quoted ones keep all that they hold.
    """
    if '"' not in text:
        *lines, last = text.split("\n")
        for number, held in enumerate([*lines, *([last] if last else [])], 1):
            yield number, [plain.strip() for plain in held.split(delimiter)]
        return
    cells: list[str] = []
    cell, at, line = "", 0, 1
    quoted = inside = False
    while at < len(text):
        mark, at = text[at], at + 1
        line += mark == "\n"
        if inside:
            if mark != '"':
                cell += mark
            elif text[at : at + 1] == '"':
                cell, at = cell + mark, at + 1
            else:
                inside = False
        elif mark == '"' and not cell.strip():
            cell, quoted, inside = "", True, True
        elif mark in (delimiter, "\n"):
            cells.append(cell if quoted else cell.strip())
            cell, quoted = "", False
            if mark == "\n":
                yield line - 1, cells
                cells = []
        elif not quoted or mark.strip():
            cell += mark
    if cell or cells:
        yield line, [*cells, cell if quoted else cell.strip()]


def as_cell(value: str) -> str:
    """A value as a cell of a CSV that `table` reads back as it is."""
    plain = value == value.strip() and not set(value) & set(',;"\t\r\n')
    return value if plain else '"' + value.replace('"', '""') + '"'


def _column(cell: str) -> str:
    """The meaning of a header's cell: path, label, label_name, class, or the cell itself."""
    name = re.sub(r"[\s-]+", "_", cell.strip().lower())
    return COLUMNS.get(name) or name


def _header(cells: Iterable[str], where: str) -> list[str]:
    names = [_column(cell) for cell in cells]
    # A name of its own outranks one that only may mean the same: both may stand in a list.
    for exact in ("path", "label", "label_name"):
        own = [cell.strip().lower() == exact for cell in cells]
        if any(own):
            names = [n if n != exact or o else "" for n, o in zip(names, own, strict=True)]
    if "class" in names and {"label", "label_name"} & set(names):
        names = ["" if name == "class" else name for name in names]
    known = ("path", "label", "label_name", "class", "split", "group")
    twice = next((name for name in known if names.count(name) > 1), None)
    if twice:
        raise DataError(f"{where}: column {twice!r} stands twice")
    if not {"label", "label_name", "class"} & set(names):
        given = ", ".join(cell.strip() for cell in cells)
        raise DataError(f"{where}: columns {given}; needed: path, label or label_name")
    return names


def _row(values: dict[str, str], where: str) -> Row:
    if not values["path"]:
        raise DataError(f"{where}: no path")
    label = (
        _label(values["label"], where, named_in="a column label_name")
        if "label" in values
        else None
    )
    name = values.get("label_name", str(label))
    if not name:
        raise DataError(f"{where}: no label_name")
    split = values.get("split", "").lower()
    if split and split not in SPLIT_WORDS:
        hint = nearest(split, sorted(SPLIT_WORDS))
        raise DataError(f"{where}: unknown split {values['split']!r}{hint}")
    return Row(
        where=where,
        path=values["path"],
        name=name,
        label=label,
        split=SPLIT_WORDS[split] if split else None,
        group=values.get("group") or None,
    )


def _without_header(path: Path, text: str, base: Path) -> list[Row]:
    """Rows of `path label` or, as lists of folders of frames have it, `path frames label`."""
    rows: list[Row] = []
    widths: dict[int, str] = {}
    for number, line in _lines(text):
        where = f"{path}, line {number}"
        match = _LAST_FIELD.match(line)
        if match is None:
            raise DataError(f"{where}: {line!r} is no `path label`")
        label = _label(match["field"], where, named_in="a CSV with the header path,label_name")
        name, width = _path_and_width(match["rest"], base, where)
        widths.setdefault(width, where)
        if len(widths) > 1:
            (a, there), (b, here) = widths.items()
            raise DataError(f"{here}: {b} fields, but {a} in {there}")
        rows.append(Row(where=where, path=name, name=str(label), label=label))
    return rows


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that hold something, with their numbers; a quoted path may go over several."""
    begun, first = "", 0
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        begun, first = (f"{begun}\n{line}", first) if begun else (line.strip(), number)
        if begun.startswith('"') and begun.count('"') % 2 and number < len(lines):
            continue
        if begun.strip():
            yield first, begun.strip()
        begun = ""


def _path_and_width(rest: str, base: Path, where: str) -> tuple[str, int]:
    """The path in what stands before the label, and how many fields the line has.

    A number at its end is a count of frames where the path is a folder of them, unless a file of
    that name exists.
    """
    match = _LAST_FIELD.match(rest)
    if match is None or not _WHOLE_NUMBER.fullmatch(match["field"]) or os.path.exists(base / rest):
        return _unquoted(rest), 2
    inner = _LAST_FIELD.match(match["rest"])
    if inner is not None and _WHOLE_NUMBER.fullmatch(inner["field"]):
        raise DataError(f"{where}: more than path, frames and label; quote paths that end so")
    if _SUFFIX.search(match["rest"]):
        raise DataError(
            f"{where}: two numbers behind {_unquoted(match['rest'])}: a video has one label; "
            "`path frames label` is for folders of frames"
        )
    return _unquoted(match["rest"]), 3


def _unquoted(text: str) -> str:
    quoted = len(text) > 2 and text[0] in "\"'" and text[-1] == text[0]
    return text[1:-1].replace(text[0] * 2, text[0]) if quoted else text


def _label(text: str, where: str, *, named_in: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise DataError(f"{where}: label {text!r} is not a whole number; names go into {named_in}")
    if int(text) < 0:
        raise DataError(f"{where}: label {text} is negative; labels are 0, 1, 2, ...")
    return int(text)
