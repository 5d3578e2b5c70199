"""Jester and Something-Something v1: a folder of pictures a video, and CSVs by semicolons.

    20bn-jester-v1/34870/00001.jpg   12 pictures a second
    jester-v1-labels.csv             Swiping Left
    jester-v1-train.csv              34870;Drumming Fingers

The test part has no labels.
"""

from __future__ import annotations

import re
from pathlib import Path

from expand3d.core.errors import DataError
from expand3d.data.layouts.layout import Found, Published
from expand3d.data.layouts.lists import Row, Split
from expand3d.data.layouts.named import frame_rate
from expand3d.data.layouts.tree import home_of, lines_of, named_files, numbered, relative
from expand3d.data.places import at_rate

PUBLISHED = {
    "jester-v1": Published("Jester", 27, None, {"train": 118_562, "val": 14_787}),
    "something-something-v1": Published(
        "Something-Something v1", 174, None, {"train": 86_017, "val": 11_522}
    ),
}
_FILES = re.compile(r"(jester-v1|something-something-v1)-(labels|train|validation)\.csv")
_PARTS: dict[str, Split] = {"train": "train", "validation": "val"}


def read(path: Path, prefix: Path | None, *, fps: str = "12") -> Found | None:
    """The videos of the training and the validation part; None without their lists."""
    files = named_files(path, _FILES.pattern)
    sets = sorted({match[1] for name in files if (match := _FILES.fullmatch(name))})
    if not sets or f"{sets[0]}-train.csv" not in files:
        return None
    kind, rate = sets[0], frame_rate(fps, path)
    listed: list[tuple[str, str, str, Split]] = []
    for name, part in _PARTS.items():
        for where, line in lines_of(files.get(f"{kind}-{name}.csv", path / f"{kind}-{name}.csv")):
            id_, mark, label = line.partition(";")
            if not mark or not label.strip():
                raise DataError(f"{where}: {line!r} is no `number;label`")
            listed.append((where, id_.strip(), label.strip(), part))
    root = prefix or path
    home = home_of(root, [id_ for _, id_, _, _ in listed], usual=f"20bn-{kind}")
    rows = [
        Row(where, at_rate(f"{relative(home, root)}/{id_}", rate), label, None, part)
        for where, id_, label, part in listed
    ]
    labels = files.get(f"{kind}-labels.csv")
    order = [line for _, line in lines_of(labels)] if labels else []
    published = PUBLISHED[kind]
    said = (
        f"{published.name}, folders of pictures at {rate:g} a second (another rate: "
        f"twentybn:{path}?fps=30)"
    )
    return Found(tuple(numbered(rows, order)), root, said=said, published=published)
