"""Diving48: videos by name, and JSON of which class each is.

    rgb/_8Vy3dlHg2w_00000.mp4
    Diving48_V2_train.json   [{"vid_name": "_8Vy3dlHg2w_00000", "label": 26, ...}, ...]
    Diving48_vocab.json      [["Back", "15som", "05Twis", "FREE"], ...]

The cleaned labels (V2) are read before the first ones.
"""

from __future__ import annotations

import json
from pathlib import Path

from expand3d.core.errors import DataError
from expand3d.data.layouts.layout import Found, Published
from expand3d.data.layouts.lists import Row, Split
from expand3d.data.layouts.tree import home_of, named_files, numbered, read_text, relative

#: Of the cleaned labels. Of the first ones no count by part is known for sure.
SIZES: dict[str, dict[str, int]] = {"V2_": {"train": 15_027, "test": 1_970}}
_FILES = r"Diving48_((V2_)?(train|test)|vocab)\.json"


def read(path: Path, prefix: Path | None) -> Found | None:
    """The videos of both parts; None without their lists."""
    files = named_files(path, _FILES)
    version = "V2_" if "Diving48_V2_train.json" in files else ""
    lists: dict[Split, Path | None] = {
        "train": files.get(f"Diving48_{version}train.json"),
        "test": files.get(f"Diving48_{version}test.json"),
    }
    if not all(lists.values()):
        return None
    vocab = files.get("Diving48_vocab.json")
    names = ["/".join(words) for words in json.loads(read_text(vocab))] if vocab else []
    listed: list[tuple[str, str, int, Split]] = []
    for part, file in lists.items():
        assert file
        for number, entry in enumerate(json.loads(read_text(file)), 1):
            where = f"{file}, entry {number}"
            if not isinstance(entry, dict) or not {"vid_name", "label"} <= set(entry):
                raise DataError(f"{where}: no vid_name and label")
            if names and not 0 <= int(entry["label"]) < len(names):
                raise DataError(f"{where}: label {entry['label']}, and {vocab} has {len(names)}")
            listed.append((where, str(entry["vid_name"]), int(entry["label"]), part))
    root = prefix or path
    home = home_of(root, [f"{video}.mp4" for _, video, _, _ in listed], usual="rgb")
    rows = [
        Row(
            where=where,
            path=f"{relative(home, root)}/{video}.mp4",
            name=names[label] if names else f"{label:02d}",
            split=part,
        )
        for where, video, label, part in listed
    ]
    order = names or [f"{label:02d}" for label in range(48)]
    said = f"Diving48, {'labels V2' if version else 'labels V1'}, groups are not known"
    published = Published("Diving48", 48, None, SIZES.get(version, {}))
    return Found(tuple(numbered(rows, order)), root, said=said, published=published)
