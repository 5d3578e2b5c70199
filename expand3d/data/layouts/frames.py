"""Class folders that hold a folder of pictures for each video.

walk/clip1/00001.jpg
train/walk/clip1/img_00001.jpg   (with train, val and test folders above)
"""

from __future__ import annotations

from pathlib import Path

from expand3d.core.errors import DataError
from expand3d.data.layouts.folders import folders_in, split_of
from expand3d.data.layouts.layout import Found
from expand3d.data.layouts.lists import Row
from expand3d.data.layouts.named import frame_rate
from expand3d.data.layouts.tree import relative, videos_below
from expand3d.data.places import PICTURE_RATE, at_rate, pictures_in


def read(path: Path, prefix: Path | None, *, fps: str = "") -> Found | None:
    """The folders of pictures by class; None where videos lie there, or something else."""
    if not path.is_dir():
        return None
    tops = folders_in(path)
    splits = {split_of(top.name) for top in tops}
    parted = "train" in splits and len(splits) > 1 and None not in splits
    classes = [inner for top in tops for inner in folders_in(top)] if parted else tops
    if not classes or not _holds_pictures(classes[0]) or videos_below(path):
        return None
    rate = frame_rate(fps, path) if fps else PICTURE_RATE
    rows = []
    for folder in classes:
        clips = [clip for clip in folders_in(folder) if pictures_in(clip)]
        if not clips:
            raise DataError(f"{folder}: a class folder without a folder of pictures")
        split = split_of(folder.parent.name) if parted else None
        for clip in clips:
            place = at_rate(relative(clip, path), rate)
            rows.append(Row(str(folder), place, folder.name, None, split))
    if len({row.name for row in rows}) == 1:
        raise DataError(f"{path}: only one class, {rows[0].name}; at least two are needed")
    stated = "" if fps else ", which nothing says"
    said = (
        f"folders of pictures by class, at {rate:g} a second{stated} (another rate: "
        f"frames:{path}?fps=25)"
    )
    return Found(tuple(rows), path, said=said)


def _holds_pictures(folder: Path) -> bool:
    """True where the first folders in a class folder hold pictures, and no folders."""
    inner = folders_in(folder)[:3]
    return bool(inner) and all(pictures_in(clip) and not folders_in(clip) for clip in inner)
