"""The same film twice: byte-identical videos, whose hashes agree, and groups that names carry.

A film that trains and chooses makes every accuracy too good, and one under two labels teaches
nothing. Clips of one scene or person are not the same film, but nearly; data sets write the scene
into the name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from expand3d.core.errors import DataError
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


def tell_same(
    manifest: Manifest,
    shas: Sequence[str],
    *,
    say: Callable[[str], None] | None,
    stop: bool,
    parts: Mapping[int, str] | None = None,
    ways: str = "",
) -> None:
    """Tell `say` which films stand more than once, and which groups that names carry are not used.

    With `stop`, DataError where a film stands on two sides; it ends with the `ways` on.
    """
    found = same_films(manifest, shas, parts=parts)
    lines = summary(found)
    if stop and any(same.fault for same in found):
        raise DataError(f"{manifest.source}: {lines[0]}{ways}")
    note = group_note(manifest)
    for line in (*lines, *([note] if note else [])):
        if say:
            say(line)


@dataclass(frozen=True)
class NearFilms:
    """Two videos that are nearly the same film: their keys, what is wrong, and their one scene.

    `scene` is the group that both are of, where they are of one.
    """

    keys: tuple[str, str]
    fault: str
    scene: str | None

    @property
    def text(self) -> str:
        """One line for people."""
        return f"{' ~ '.join(map(printable, self.keys))}{': ' if self.fault else ''}{self.fault}"


def near_films(manifest: Manifest, pairs: Iterable[tuple[int, int]]) -> tuple[NearFilms, ...]:
    """The pairs of videos by index with what is wrong in the parts that the manifest gives."""
    found = []
    for pair in pairs:
        first, second = (manifest.videos[index] for index in pair)
        sides = sorted({str(v.split) for v in (first, second) if v.split})
        fault = f"in the parts {' and '.join(sides)}" if len(sides) > 1 else ""
        scene = first.group if first.group == second.group else None
        found.append(NearFilms((first.key, second.key), fault, scene))
    return tuple(found)


def torn_groups(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """The groups whose videos stand in several of the given parts, and these parts."""
    sides: dict[str, set[str]] = {}
    for video in manifest.videos:
        if video.group is not None and video.split is not None:
            sides.setdefault(video.group, set()).add(video.split)
    return {group: tuple(sorted(found)) for group, found in sides.items() if len(found) > 1}


def grouped_by_pairs(manifest: Manifest, pairs: Iterable[tuple[int, int]]) -> Manifest:
    """The manifest whose groups hold the videos of a pair together, and all of their groups."""
    home = list(range(len(manifest)))

    def root(index: int) -> int:
        while home[index] != index:
            home[index] = index = home[home[index]]
        return index

    first: dict[str, int] = {}
    given = [
        (first.setdefault(video.group, index), index)
        for index, video in enumerate(manifest.videos)
        if video.group is not None
    ]
    paired = list(pairs)
    for one, other in (*given, *paired):
        low, high = sorted((root(one), root(other)))
        home[high] = low
    touched = {root(index) for pair in paired for index in pair}
    videos = (
        replace(v, group=f"near {manifest.videos[root(i)].key}") if root(i) in touched else v
        for i, v in enumerate(manifest.videos)
    )
    return replace(manifest, videos=tuple(videos))


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
        "are not kept whole: --group-by-name of `run` and `data split` keeps them"
    )


def grouped_by_name(manifest: Manifest) -> Manifest:
    """The manifest with the groups that its names carry; DataError where they carry none."""
    pattern = group_pattern(manifest)
    if pattern is None:
        raise DataError(f"{manifest.source}: the names carry no groups, or a list gives them")
    videos = (replace(v, group=_group(v.key, pattern)) for v in manifest.videos)
    return replace(manifest, videos=tuple(videos))


def _group(key: str, pattern: str) -> str | None:
    found = re.search(pattern, PurePosixPath(key).stem)
    return found[1] if found else None
