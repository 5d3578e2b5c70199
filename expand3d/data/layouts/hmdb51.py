"""HMDB51 with its three official splits.

    videos/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi
    testTrainMulti_7030_splits/brush_hair_test_split1.txt   April_09_..._0.avi 1

Behind a name stands 1 (trains), 2 (tests) or 0 (is not used). A name begins with its source video.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from expand3d.core.errors import DataError
from expand3d.data.layouts.layout import Found, Published
from expand3d.data.layouts.lists import Row, Split
from expand3d.data.layouts.named import split_number
from expand3d.data.layouts.tree import home_of, lines_of, named_files, relative

_LIST = re.compile(r"(.+)_test_split([123])\.txt")
#: What stands behind the source and the class: body, camera, people, view, quality, number.
_TAGS = r"_[a-z]_[a-z]{2}_np\d+_[a-z]{2}_[a-z]{3}_\d+"
_PARTS: dict[str, Split | None] = {"0": None, "1": "train", "2": "test"}


def read(path: Path, prefix: Path | None, *, split: str = "1") -> Found | None:
    """The videos of one split; None without its lists."""
    lists = named_files(path, _LIST.pattern)
    if not any(name.endswith("_split1.txt") for name in lists):
        return None
    number = split_number(split, path)
    rows = []
    counts: Counter[str] = Counter()
    for name, file in lists.items():
        match = _LIST.fullmatch(name)
        assert match
        if int(match[2]) != number:
            continue
        for where, line in lines_of(file):
            video, _, use = line.partition(" ")
            if use.strip() not in _PARTS:
                raise DataError(f"{where}: {line!r} is no `video.avi 0`, 1 or 2")
            counts[use.strip()] += 1
            if part := _PARTS[use.strip()]:
                group = _source(video, match[1])
                rows.append(Row(where, f"{match[1]}/{video}", match[1], None, part, group))
    if not rows:
        raise DataError(f"{path}: no list of split {number}")
    root = prefix or path
    home = relative(home_of(root, [row.path for row in rows], usual="videos"), root)
    unused = f"left out: {counts['0']} that split {number} does not use" if counts["0"] else ""
    return Found(
        tuple(_below(row, home) for row in rows),
        root,
        left_out=unused,
        said=f"HMDB51, official split {number} of 3, groups by source video (other splits: "
        f"hmdb51:{path}?split={number % 3 + 1}; as class folders: folders:{root / home})",
        published=Published("HMDB51", 51, None, {"train": 3570, "test": 1530}),
    )


def _below(row: Row, home: str) -> Row:
    return Row(row.where, f"{home}/{row.path}", row.name, None, row.split, row.group)


def _source(video: str, action: str) -> str | None:
    """The source video of a clip's name; None where the name has another form."""
    match = re.fullmatch(rf"(.+)_{re.escape(action)}{_TAGS}", Path(video).stem)
    return match[1] if match else None
