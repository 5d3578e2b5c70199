"""UCF101 with its three official splits.

    UCF-101/Archery/v_Archery_g01_c01.avi
    ucfTrainTestlist/classInd.txt      1 ApplyEyeMakeup
    ucfTrainTestlist/trainlist01.txt   Archery/v_Archery_g08_c01.avi 3
    ucfTrainTestlist/testlist01.txt    Archery/v_Archery_g01_c01.avi

The 25 groups of a class are its source videos; the official splits keep them whole.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from expand3d.core.errors import DataError
from expand3d.data.layouts.layout import Found, Published
from expand3d.data.layouts.lists import Row, Split
from expand3d.data.layouts.named import split_number
from expand3d.data.layouts.tree import home_of, lines_of, named_files, numbered, relative

#: Videos that train and test by split.
SIZES = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}
_GROUP = re.compile(r"(v_.+_g\d+)_c\d+")


def read(path: Path, prefix: Path | None, *, split: str = "1") -> Found | None:
    """The videos of one split; None without its lists."""
    lists = named_files(path, r"(train|test)list0[123]\.txt|classInd\.txt")
    if not {"trainlist01.txt", "testlist01.txt"} <= set(lists):
        return None
    number = split_number(split, path)
    listed: list[tuple[str, str, Split]] = []
    parts: tuple[Split, Split] = ("train", "test")
    for part in parts:
        name = f"{part}list0{number}.txt"
        if name not in lists:
            raise DataError(f"{path}: split {number} has no {name}")
        listed += [(where, _video(line, where), part) for where, line in lines_of(lists[name])]
    root = prefix or path
    home = relative(home_of(root, [video for _, video, _ in listed], usual="UCF-101"), root)
    rows = [
        Row(
            where=where,
            path=f"{home}/{video}",
            name=PurePosixPath(video).parts[0],
            split=part,
            group=group[1] if (group := _GROUP.fullmatch(PurePosixPath(video).stem)) else None,
        )
        for where, video, part in listed
    ]
    train, test = SIZES[number]
    return Found(
        tuple(numbered(rows, _classes(lists.get("classInd.txt")))),
        root,
        said=f"UCF101, official split {number} of 3, groups by the names (other splits: "
        f"ucf101:{path}?split={number % 3 + 1}; as class folders: folders:{root / home})",
        published=Published("UCF101", 101, sum(SIZES[number]), {"train": train, "test": test}),
    )


def _video(line: str, where: str) -> str:
    """The path of a line, which may have a label behind it."""
    video = line.split()[0]
    if "/" not in video:
        raise DataError(f"{where}: {line!r} is no `Class/video.avi`")
    return video


def _classes(path: Path | None) -> list[str]:
    """The classes in their official order; none without their list."""
    return [line.split()[-1] for _, line in lines_of(path)] if path else []
