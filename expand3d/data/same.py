"""The same film twice: byte-identical videos, whose hashes agree, and groups that names carry.

A film that trains and chooses makes every accuracy too good, and one under two labels teaches
nothing. Clips of one scene or person are not the same film, but nearly; data sets write the scene
into the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from expand3d.data.layouts.folders import printable
from expand3d.data.manifest import Manifest

#: How names carry groups: v_Archery_g01_c02 (UCF-101), person01_boxing_d1 (KTH).
GROUPS_IN_NAMES = (r"^(.+_g\d+)_c\d+$", r"^(person\d+)_")
#: Examples that a line for people names.
SHOWN = 3


@dataclass(frozen=True)
class Same:
    """Videos with the same bytes: their keys; what is wrong with that, empty where nothing is."""

    keys: tuple[str, ...]
    fault: str

    @property
    def text(self) -> str:
        """One line for people."""
        return f"{' = '.join(map(printable, self.keys))}{': ' if self.fault else ''}{self.fault}"


def same_films(
    manifest: Manifest, shas: Sequence[str], *, parts: Mapping[int, str] | None = None
) -> tuple[Same, ...]:
    """The videos that stand more than once, in the order of the manifest.

    `parts` are names of parts by index, where they are drawn already; else those that the manifest
    gives count.
    """
    together: dict[str, list[int]] = {}
    for index, sha in enumerate(shas):
        together.setdefault(sha, []).append(index)
    videos = manifest.videos
    found = []
    for indices in together.values():
        if len(indices) < 2:
            continue
        labels = sorted({manifest.class_names[videos[i].label] for i in indices})
        sides = {parts[i] if parts else videos[i].split for i in indices} - {None}
        faults = [f"under the labels {' and '.join(labels)}"] if len(labels) > 1 else []
        if len(sides) > 1:
            faults.append(f"in the parts {' and '.join(sorted(map(str, sides)))}")
        found.append(Same(tuple(videos[i].key for i in indices), ", ".join(faults)))
    return tuple(found)


def summary(found: Sequence[Same]) -> list[str]:
    """Lines for people, what is wrong first, with a few examples each."""
    lines = []
    for wrong, what in ((True, "stand on two sides"), (False, "stand more than once")):
        some = [same for same in found if bool(same.fault) == wrong]
        if some:
            more = f"; and {len(some) - SHOWN} more" if len(some) > SHOWN else ""
            shown = "; ".join(same.text for same in some[:SHOWN])
            films = "film" if len(some) == 1 else "films"
            lines.append(f"the same bytes: {len(some)} {films} {what}: {shown}{more}")
    return lines


def group_pattern(manifest: Manifest) -> str | None:
    """The pattern by which the videos' names carry groups; None where they do not, or are given."""
    if not manifest.videos or any(video.group for video in manifest.videos):
        return None
    for pattern in GROUPS_IN_NAMES:
        found = [_group(video.key, pattern) for video in manifest.videos]
        if all(found) and 1 < len(set(found)) < len(found):
            return pattern
    return None


def group_note(manifest: Manifest) -> str:
    """A line for people where names carry groups that nothing uses; else nothing."""
    pattern = group_pattern(manifest)
    if pattern is None:
        return ""
    groups = {_group(video.key, pattern) for video in manifest.videos}
    return (
        f"the names carry {len(groups)} groups (such as {printable(min(map(str, groups)))}), which "
        "are not kept whole: a list of `expand3d data split PATH --group-by-name --out LIST.csv` "
        "has them"
    )


def grouped_by_name(manifest: Manifest, pattern: str) -> tuple[str | None, ...]:
    """The group of each video by its name without suffix; None where the pattern does not match."""
    return tuple(_group(video.key, pattern) for video in manifest.videos)


def _group(key: str, pattern: str) -> str | None:
    found = re.search(pattern, PurePosixPath(key).stem)
    return found[1] if found else None
