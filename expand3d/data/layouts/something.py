"""Something-Something v2: videos by number, and JSON with a template for each.

    20bn-something-something-v2/12345.webm
    labels/labels.json       {"Pushing something from left to right": "93", ...}
    labels/train.json        [{"id": "12345", "template": "Pushing [something] from ...", ...}]

The files may be called something-something-v2-train.json, too. The test part has no labels here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from expand3d.core.errors import DataError
from expand3d.data.layouts.layout import Found, Published
from expand3d.data.layouts.lists import Row, Split
from expand3d.data.layouts.tree import home_of, named_files, numbered, read_text, relative

PUBLISHED = Published("Something-Something v2", 174, None, {"train": 168_913, "val": 24_777})
_FILES = r"(something-something-v2-)?(train|validation|labels)\.json"
_PARTS: dict[str, Split] = {"train": "train", "validation": "val"}


def read(path: Path, prefix: Path | None) -> Found | None:
    """The videos of the training and the validation part; None without their lists."""
    named = named_files(path, _FILES)
    files = {name.removesuffix(".json").split("-")[-1]: file for name, file in named.items()}
    if set(files) != {"train", "validation", "labels"}:
        return None
    listed: list[tuple[str, str, str, Split]] = []
    for name, part in _PARTS.items():
        for number, entry in enumerate(_list(files[name]), 1):
            where = f"{files[name]}, entry {number}"
            if not isinstance(entry, dict) or not {"id", "template"} <= set(entry):
                raise DataError(f"{where}: no id and template")
            label = str(entry["template"]).replace("[", "").replace("]", "")
            listed.append((where, str(entry["id"]), label, part))
    root = prefix or path
    ids = [id_ for _, id_, _, _ in listed]
    home, suffix = _home(root, ids)
    rows = [
        Row(where, f"{home}/{id_}{suffix}", label, None, part) for where, id_, label, part in listed
    ]
    labels = json.loads(read_text(files["labels"]))
    order = sorted(labels, key=lambda label: int(labels[label]))
    if unknown := sorted({row.name for row in rows} - set(order)):
        raise DataError(f"{files['labels']}: lacks the template {unknown[0]!r}")
    said = "Something-Something v2, its training and validation part; the test part has no labels"
    return Found(tuple(numbered(rows, order)), root, said=said, published=PUBLISHED)


def _list(file: Path) -> list[Any]:
    try:
        found = json.loads(read_text(file))
    except ValueError as error:
        raise DataError(f"{file}: no JSON ({error})") from None
    if not isinstance(found, list) or not found:
        raise DataError(f"{file}: no list of videos")
    return found


def _home(root: Path, ids: list[str]) -> tuple[str, str]:
    """The folder of the videos and their suffix, .webm where none is there."""
    usual = "20bn-something-something-v2"
    for suffix in (".webm", ".mp4", ".avi"):
        listed = [f"{id_}{suffix}" for id_ in ids]
        home = home_of(root, listed, usual=usual)
        if any((home / name).exists() for name in listed[:: max(1, len(listed) // 25)]):
            return relative(home, root), suffix
    return usual, ".webm"
