"""Lists of labelled videos as text: headerless `path label` lines, or a CSV with a header."""

from __future__ import annotations

import csv
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

#: What stands last on a line, behind a comma, a tab or spaces; before it, the rest.
_LAST_FIELD = re.compile(r"^(?P<rest>.*?\S)(?:\s*,\s*|\s+)(?P<field>[^\s,]+)$")
_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,18}", re.ASCII)


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
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8 ({error.reason})") from None
    lines = [line.rstrip("\r") for line in text.split("\n")]
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise DataError(f"{path}: empty; expected one video and its label per line")
    delimiter = "\t" if "\t" in first else ","
    columns = [cell.strip().strip('"').lower() for cell in first.split(delimiter)]
    if "path" in columns:
        return _with_header(path, lines, delimiter)
    return _without_header(path, lines, base)


def _with_header(path: Path, lines: list[str], delimiter: str) -> list[Row]:
    """Rows of a CSV whose first row names the columns; columns that it does not know are left."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    header: list[str] = []
    rows: list[Row] = []
    for cells in _cells(reader, path):
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path}, line {reader.line_num}"
        if not header:
            header = _header(cells, where)
            continue
        if len(cells) != len(header):
            raise DataError(f"{where}: {len(cells)} cells under {len(header)} columns")
        values = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        rows.append(_row(values, where))
    if not rows:
        raise DataError(f"{path}: a header and no video")
    return rows


def _cells(reader: Iterable[list[str]], path: Path) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV ({error})") from None


def _header(cells: Iterable[str], where: str) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    known = ("path", "label", "label_name", "split", "group")
    twice = next((name for name in known if names.count(name) > 1), None)
    if twice:
        raise DataError(f"{where}: column {twice!r} stands twice")
    if "label" not in names and "label_name" not in names:
        raise DataError(f"{where}: columns {', '.join(names)}; needed: path, label or label_name")
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


def _without_header(path: Path, lines: list[str], base: Path) -> list[Row]:
    """Rows of `path label` or, as lists of extracted frames have it, `path frames label`."""
    rows: list[Row] = []
    widths: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        match = _LAST_FIELD.match(line.strip())
        if match is None:
            raise DataError(f"{where}: {line.strip()!r} is no `path label`")
        label = _label(match["field"], where, named_in="a CSV with the header path,label_name")
        name, width = _path_and_width(match["rest"], base, where)
        widths.setdefault(width, where)
        if len(widths) > 1:
            (a, there), (b, here) = widths.items()
            raise DataError(f"{here}: {b} fields, but {a} in {there}")
        rows.append(Row(where=where, path=name, name=str(label), label=label))
    return rows


def _path_and_width(rest: str, base: Path, where: str) -> tuple[str, int]:
    """The path in what stands before the label, and how many fields the line has.

    A number at its end is a count of frames, unless a file of that name exists.
    """
    match = _LAST_FIELD.match(rest)
    if match is None or not _WHOLE_NUMBER.fullmatch(match["field"]) or os.path.exists(base / rest):
        return _unquoted(rest), 2
    inner = _LAST_FIELD.match(match["rest"])
    if inner is not None and _WHOLE_NUMBER.fullmatch(inner["field"]):
        raise DataError(f"{where}: more than path, frames and label; quote paths that end so")
    return _unquoted(match["rest"]), 3


def _unquoted(text: str) -> str:
    quoted = len(text) > 2 and text[0] in "\"'" and text[-1] == text[0]
    return text[1:-1] if quoted else text


def _label(text: str, where: str, *, named_in: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise DataError(f"{where}: label {text!r} is not a whole number; names go into {named_in}")
    if int(text) < 0:
        raise DataError(f"{where}: label {text} is negative; labels are 0, 1, 2, ...")
    return int(text)
