"""Kinetics as CVDF hands it out: clips below one folder, and CSVs that list them.

    annotations/train.csv   label,youtube_id,time_start,time_end,split
    train/-3B32lodo2M_000059_000069.mp4   (or train/<label>/..., in any depth)

Clips that are listed and not there are kept as rows, so that each is named as missing. A clip in a
folder of replacements takes the place of the damaged one.
"""

from __future__ import annotations

from pathlib import Path

from expand3d.core.errors import DataError
from expand3d.data.layouts.layout import Found, Published
from expand3d.data.layouts.lists import SPLIT_WORDS, Row, Split, table
from expand3d.data.layouts.tree import named_files, read_text, relative, videos_below

#: Clips in all, by the number of classes, as the papers give them.
SIZES = {400: ("Kinetics-400", 306_245), 600: ("Kinetics-600", 495_547)} | {
    700: ("Kinetics-700", 650_317)
}
_NEEDED = {"youtube_id", "time_start", "time_end"}


def read(path: Path, prefix: Path | None) -> Found | None:
    """The clips of the CSVs with a column youtube_id; None without any."""
    lists = [path] if path.is_file() else list(named_files(path, r".*\.csv").values())
    lists = [file for file in lists if file.suffix == ".csv" and _is_ours(file)]
    if not lists:
        return None
    root = prefix or (path.parent if path.is_file() else path)
    there = videos_below(root)
    rows: dict[str, Row] = {}
    unlabelled = 0
    for file in lists:
        for where, values in _table(file):
            label = values.get("label", "").strip()
            if not label:
                unlabelled += 1
                continue
            clip, part = _clip(values, where), _part(values, file)
            place = _place(there.get(clip, []), root) or f"{part or 'videos'}/{clip}.mp4"
            if clip in rows and rows[clip].name == label and rows[clip].split == part:
                continue
            known = clip if clip not in rows else f"{clip} {where}"
            rows[known] = Row(where, place, label, None, part, values["youtube_id"])
    if not rows:
        raise DataError(f"{lists[0]}: no clip with a label")
    found = tuple(rows.values())
    missing = sum(key.partition(" ")[0] not in there for key in rows)
    unlisted = len(there.keys() - rows.keys())
    left = [f"{unlisted} videos that no CSV lists"] if unlisted else []
    left += [f"{unlabelled} rows without a label"] if unlabelled else []
    classes = len({row.name for row in found})
    size = SIZES.get(classes)
    return Found(
        found,
        root,
        left_out=f"left out: {', '.join(left)}" if left else "",
        said=f"Kinetics, {len(lists)} CSVs that list {len(found):,} clips, {missing:,} of them not "
        f"there, groups by source video (as class folders: folders:{path})",
        published=Published(size[0], classes, size[1]) if size else None,
    )


def _is_ours(file: Path) -> bool:
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        return set(lines.readline().strip().replace('"', "").split(",")) >= _NEEDED


def _table(file: Path) -> list[tuple[str, dict[str, str]]]:
    header, *rows = table(read_text(file), ",")
    found = []
    for number, cells in rows:
        if any(cells):
            if len(cells) != len(header[1]):
                raise DataError(
                    f"{file}, line {number}: {len(cells)} cells under {len(header[1])} columns"
                )
            found.append((f"{file}, line {number}", dict(zip(header[1], cells, strict=True))))
    return found


def _clip(values: dict[str, str], where: str) -> str:
    """The name of a clip's file: the id, and the seconds in six digits."""
    try:
        start, end = (round(float(values[key])) for key in ("time_start", "time_end"))
    except ValueError:
        raise DataError(f"{where}: time_start and time_end are seconds") from None
    return f"{values['youtube_id']}_{start:06d}_{end:06d}"


def _part(values: dict[str, str], file: Path) -> Split | None:
    """The part by the column, else by the file's name (train.csv, kinetics400_val.csv)."""
    if word := values.get("split", "").lower():
        return SPLIT_WORDS.get(word)
    words = file.stem.lower().replace("-", "_").split("_")
    return next((SPLIT_WORDS[word] for word in words[::-1] if word in SPLIT_WORDS), None)


def _place(files: list[Path], root: Path) -> str | None:
    """The file of a clip, a replacement before others; None where there is none."""
    for file in sorted(files, key=lambda file: "replacement" not in str(file)):
        return relative(file, root)
    return None
