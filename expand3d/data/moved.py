"""Videos that moved under a study: the same content under other names is the same data.

Names come from lists and folders, and change with them: relative paths of a list at another place,
a class folder that is called otherwise. What a study rests on is content. So a clip is known again
by its SHA-256, and has again the name, class and place in the order that the study knows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from expand3d.core.errors import DataError
from expand3d.data.hashes import fingerprint
from expand3d.data.manifest import Manifest, Video
from expand3d.data.same import grouped_by_name

#: Digits of a SHA-256 that a record keeps of a clip.
KEPT_DIGITS = 16


@dataclass(frozen=True)
class Kept:
    """The data as a record keeps it: hashes by name, in the order of the study, and class names."""

    clips: Mapping[str, str]
    classes: tuple[str, ...]
    fingerprint: str
    skipped: frozenset[str] = frozenset()

    def unchanged(self, manifest: Manifest, shas: Mapping[Video, str]) -> bool:
        """True where content, names, order and classes of a manifest are the record's."""
        used = [video for video in manifest.videos if video.key not in self.skipped]
        now = [(video.key, shas.get(video, "")[:KEPT_DIGITS]) for video in used]
        return now == list(self.clips.items()) and manifest.class_names == self.classes


def under_kept_names(
    manifest: Manifest, shas: Mapping[Video, str], kept: Kept, *, group_by_name: bool
) -> Manifest | None:
    """The manifest with the names of the record; None where that is not the data of the record.

    `shas` are the SHA-256 of the videos that can be read. The others, and videos whose content is
    unknown, come last under their paths. Labels, groups and splits must be the record's too.
    """
    matched = _matched([v for v in manifest.videos if v in shas], shas, kept.clips)
    if matched is None:
        return None
    labels = _labels(matched, manifest.class_names, kept.classes)
    if labels is None:
        return None
    videos = [replace(v, key=k, label=labels[v.label]) for k, v in matched.items()]
    found = replace(manifest, videos=tuple(videos), class_names=kept.classes)
    if group_by_name:
        try:
            found = grouped_by_name(found)
        except DataError:
            return None
    if fingerprint(found, [shas[video] for video in matched.values()]) != kept.fingerprint:
        return None
    known = set(matched.values())
    rest = [
        replace(video, key=str(video.path), label=labels[video.label])
        for video in manifest.videos
        if video not in known
    ]
    return replace(found, videos=(*found.videos, *rest))


def _matched(
    videos: Sequence[Video], shas: Mapping[Video, str], clips: Mapping[str, str]
) -> dict[str, Video] | None:
    """The video of each clip of the record by its name there, in that order; None where one lacks.

    Of several with the same bytes one keeps its name, or its file's name, before the others.
    """
    having: dict[str, list[Video]] = defaultdict(list)
    for video in videos:
        having[shas[video][:KEPT_DIGITS]].append(video)
    if any(len(having[sha]) < count for sha, count in Counter(clips.values()).items()):
        return None
    found: dict[str, Video] = {}
    for alike in (_whole, _file, _any):
        for key, sha in clips.items():
            same = [video for video in having[sha] if alike(video.key) == alike(key)]
            if key not in found and same:
                found[key] = same[0]
                having[sha].remove(same[0])
    return {key: found[key] for key in clips}


def _whole(key: str) -> str:
    return key


def _file(key: str) -> str:
    return PurePosixPath(key).name


def _any(key: str) -> str:
    return ""


def _labels(
    matched: Mapping[str, Video], names: Sequence[str], before: Sequence[str]
) -> dict[int, int] | None:
    """The record's label of each label; None where classes are not the record's, renamed or not.

    A class that is called as before is the same. One under another name is the class whose folder
    its clips were in, or else the next of those that are left: lists number their classes.
    """
    if len(names) != len(before):
        return None
    places = {name: label for label, name in enumerate(before)}
    labels = {label: places[name] for label, name in enumerate(names) if name in places}
    free = set(places.values()) - set(labels.values())
    folders: dict[int, set[int]] = defaultdict(set)
    for key, video in matched.items():
        parts = PurePosixPath(key).parts[:-1]
        folders[video.label] |= {places[part] for part in parts if part in places} & free
    for label, found in folders.items():
        if label not in labels and len(found) == 1:
            labels[label] = found.pop()
    left = sorted(free - set(labels.values()))
    unknown = [label for label in range(len(names)) if label not in labels]
    labels |= dict(zip(unknown, left, strict=False))
    return labels if len(set(labels.values())) == len(names) else None
