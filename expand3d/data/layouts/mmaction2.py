"""The lists of mmaction2 under the names that its tools give them.

    kinetics400/kinetics400_train_list_videos.txt   label/clip.mp4 0
    ucf101/ucf101_train_split_1_videos.txt          Archery/v_Archery_g08_c01.avi 2
    ucf101/ucf101_val_split_1_rawframes.txt         Archery/v_Archery_g01_c01 164 2
    ucf101/videos, videos_train, videos_val, rawframes, rawframes_train, ...

Folders of pictures are shown at 30 a second, or at what `fps` says.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from expand3d.core.errors import DataError
from expand3d.data.layouts.layout import Found
from expand3d.data.layouts.lists import SPLIT_WORDS, Row, read_listing
from expand3d.data.layouts.named import frame_rate
from expand3d.data.layouts.tree import home_of, lines_of, named_files, relative
from expand3d.data.places import at_rate

_LIST = re.compile(
    r"(?P<set>.+?)_(?P<part>train|val|test)(?:_list|_split_(?P<split>\d+))?_"
    r"(?P<kind>videos|rawframes)\.txt"
)


def read(path: Path, prefix: Path | None, *, split: str = "", fps: str = "30") -> Found | None:
    """The videos of a data set's lists; None where no list has such a name.

    Lists of videos are read before lists of pictures.
    """
    found = {
        n: (m, file)
        for n, file in named_files(path, _LIST.pattern).items()
        if (m := _LIST.fullmatch(n))
    }
    if not any(match["part"] == "train" for match, _ in found.values()):
        return None
    sets = sorted({match["set"] for match, _ in found.values()})
    if len(sets) > 1:
        raise DataError(f"{path}: lists of {', '.join(sets)}; keep one data set in a folder")
    splits = sorted({m["split"] for m, _ in found.values() if m["split"]}, key=int)
    if split and split not in splits:
        raise DataError(f"{path}: split={split}: there are {', '.join(splits) or 'none'}")
    chosen = split or next(iter(splits), None)
    kinds = {m["kind"] for m, _ in found.values()}
    kind = "videos" if "videos" in kinds else "rawframes"
    rate = frame_rate(fps, path)
    root, rows = prefix or path, []
    for match, file in found.values():
        if match["kind"] == kind and match["split"] in (None, chosen):
            rows += _rows(file, root, match["part"], kind, rate)
    rows = _named_classes(path, rows)
    which = f", split {chosen} of {len(splits)}" if chosen else ""
    shown = f", pictures at {rate:g} a second" if kind == "rawframes" else ""
    way = f"mmaction2:{path}?split={splits[-1]}" if len(splits) > 1 else f"mmaction2:{path}?fps=25"
    said = f"lists of mmaction2 for {sets[0]}{which}{shown} (otherwise: {way})"
    return Found(tuple(rows), root, said=said)


def _rows(file: Path, root: Path, part: str, kind: str, rate: float) -> list[Row]:
    """The rows of a list, whose paths are relative to the folder where the videos are."""
    rows = read_listing(file, base=root)
    listed = [row.path for row in rows]
    usual = f"{kind}_{part}" if (root / f"{kind}_{part}").is_dir() else kind
    home = relative(home_of(root, listed, usual=usual), root)
    found = [replace(row, path=f"{home}/{row.path}", split=SPLIT_WORDS[part]) for row in rows]
    if kind == "rawframes":
        return [replace(row, path=at_rate(row.path, rate)) for row in found]
    return found


def _named_classes(path: Path, rows: list[Row]) -> list[Row]:
    """The rows with the names of label_map.txt, where it lies beside the lists."""
    maps = list(named_files(path, r"label_map.*\.txt").values())
    if len(maps) != 1:
        return rows
    names = [line for _, line in lines_of(maps[0])]
    if max(row.label or 0 for row in rows) >= len(names):
        raise DataError(f"{maps[0]}: {len(names)} names, and the lists have more labels")
    return [replace(row, name=names[row.label or 0]) for row in rows]
