"""WebDataset shards, read in place: tars in which a video and its label share a name.

    shards/train-000000.tar: 000123.mp4, 000123.cls   (a number or a name)
    shards/val-000000.tar:   000777.avi, 000777.json  {"label": 3, "label_name": "run"}

The part is the shard's name, or "split" in the JSON. Names of numbered classes may stand in
classes.txt beside the shards, one a line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from expand3d.core.errors import DataError
from expand3d.data.layouts.folders import VIDEO_SUFFIXES, split_of
from expand3d.data.layouts.layout import Found
from expand3d.data.layouts.lists import SPLIT_WORDS, Row
from expand3d.data.layouts.tree import lines_of
from expand3d.data.places import SHARD_SUFFIX, Part, members


class _Facts(NamedTuple):
    """The facts beside a video: its label as number or name, or both, part and group."""

    label: int | None
    name: str
    split: str
    group: str | None


def read(path: Path, prefix: Path | None) -> Found | None:
    """The videos of a shard or of a folder of shards; None without any."""
    if path.is_dir():
        shards = sorted(file for file in path.iterdir() if file.suffix == SHARD_SUFFIX)
        base = path
    else:
        shards, base = [path] if path.suffix == SHARD_SUFFIX and path.is_file() else [], path.parent
    shards = [shard for shard in shards if any(map(_is_video, members(shard)))]
    if not shards:
        return None
    names = _names(base)
    rows = [row for shard in shards for row in _of_shard(shard, names)]
    said = f"{len(shards)} shards of WebDataset with {len(rows):,} videos, which stay packed"
    return Found(tuple(rows), base, said=said)


def _of_shard(shard: Path, names: list[str]) -> list[Row]:
    inside = members(shard)
    part = split_of(shard.stem.split("-")[0].split("_")[0]) or ""
    rows = []
    with shard.open("rb") as file:

        def text(member: Part) -> str:
            file.seek(member.start)
            return file.read(member.size).decode("utf-8", "replace")

        for member in filter(_is_video, inside):
            facts = _facts(f"{shard}/{member}", _stem(member), inside, text)
            name = names[facts.label] if names and facts.label is not None else facts.name
            split = SPLIT_WORDS.get(facts.split.lower() or part)
            place = f"{shard.name}/{member}"
            rows.append(Row(f"{shard}", place, name, facts.label, split, facts.group))
    return rows


def _facts(where: str, stem: str, inside: Mapping[str, Part], text: Any) -> _Facts:
    if (cls := inside.get(f"{stem}.cls")) is not None:
        label = text(cls).strip()
        return _Facts(int(label) if label.isdecimal() else None, label, "", None)
    if (described := inside.get(f"{stem}.json")) is not None:
        try:
            facts = json.loads(text(described))
            label = facts.get("label", facts.get("class", facts.get("cls")))
        except (ValueError, AttributeError):
            raise DataError(f"{where}: the JSON beside it is damaged") from None
        named = facts.get("label_name") or facts.get("class_name")
        if isinstance(label, int) or (isinstance(label, str) and label.isdecimal()):
            return _Facts(int(label), str(named or label), *_besides(facts))
        if label or named:
            return _Facts(None, str(named or label), *_besides(facts))
    raise DataError(f'{where}: no label beside it ({stem}.cls, or {stem}.json with "label")')


def _besides(facts: Mapping[str, Any]) -> tuple[str, str | None]:
    group = facts.get("group")
    return str(facts.get("split") or ""), None if group is None else str(group)


def _stem(member: str) -> str:
    """The name that a video shares with its label: all before the first dot of its last part."""
    folder, name = os.path.split(member)
    return os.path.join(folder, name.partition(".")[0])


def _is_video(member: str) -> bool:
    return member.lower().endswith(VIDEO_SUFFIXES)


def _names(base: Path) -> list[str]:
    """The names of the classes by number, where they stand beside the shards."""
    file = base / "classes.txt"
    return [line for _, line in lines_of(file)] if file.is_file() else []
