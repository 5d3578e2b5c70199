"""Data sets written in other forms: class folders of links, a list, or WebDataset shards."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from expand3d.core.errors import DataError
from expand3d.core.files import write_whole
from expand3d.data.layouts.folders import printable
from expand3d.data.layouts.lists import as_cell
from expand3d.data.manifest import Manifest, Video
from expand3d.data.places import opened, part_of, pictures_of

#: Bytes of videos that a shard holds, or one video.
SHARD_BYTES = 500 * 2**20

Progress = Callable[[int, int], None]


def write_list(manifest: Manifest, out: Path, parts: Sequence[str | None]) -> None:
    """Write a CSV with label, name, part and group of each video; `parts` are by index."""
    refuse_odd_names(manifest)
    lines = ["path,label,label_name,split,group"]
    for video, part in zip(manifest.videos, parts, strict=True):
        name = manifest.class_names[video.label]
        path = path_from(out.absolute().parent, video.path)
        cells = (path, str(video.label), name, part or "", video.group or "")
        lines.append(",".join(map(as_cell, cells)))
    write_whole(out, "\r\n".join([*lines, ""]))


def refuse_odd_names(manifest: Manifest) -> None:
    """DataError where a list cannot hold the name of a video."""
    odd = [printable(v.key) for v in manifest.videos if printable(str(v.path)) != str(v.path)]
    if odd:
        raise DataError(
            f"{odd[0]}: the name is not text in UTF-8, as names in a list must be"
            f"{f' (and {len(odd) - 1} more)' if len(odd) > 1 else ''}; rename it"
        )


def path_from(folder: Path, video: Path) -> str:
    """The video's path relative to the list's folder where it lies below it, else absolute."""
    relative = os.path.relpath(video, folder)
    return str(video) if relative.startswith(os.pardir) else relative


def write_links(manifest: Manifest, out: Path, parts: Sequence[str | None]) -> None:
    """Write part and class folders that hold a link to each video.

    Where videos have no part, the class folders stand in `out` itself. DataError where a video lies
    in a shard, or a class cannot be a folder's name.
    """
    for video, part in zip(manifest.videos, parts, strict=True):
        if part_of(video.path) is not None:
            raise DataError(f"{video.key}: lies in a shard, and cannot be linked to")
        name = manifest.class_names[video.label]
        if "/" in name or name.startswith("."):
            raise DataError(f"{name!r}: the name of a class that no folder can have")
        folder = out / (part or "") / name
        folder.mkdir(parents=True, exist_ok=True)
        pictures = pictures_of(video.path)
        target = pictures.folder if pictures else video.path
        (folder / _free_name(folder, target)).symlink_to(target.absolute())


def _free_name(folder: Path, target: Path) -> str:
    """The target's name, with the folder's before it where that is taken."""
    name = target.name
    for above in target.parents:
        if not os.path.lexists(folder / name):
            return name
        name = f"{above.name}_{name}"
    raise DataError(f"{target}: stands twice in {folder}")


def write_shards(
    manifest: Manifest,
    out: Path,
    parts: Sequence[str | None],
    *,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> int:
    """Write WebDataset shards by part with a JSON beside each video, and return their number.

    DataError where a video is a folder of pictures, or cannot be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    done = shards = 0
    for part in dict.fromkeys(parts):
        videos = [v for v, p in zip(manifest.videos, parts, strict=True) if p == part]
        for number, packed in enumerate(_packs(videos, shard_bytes)):
            shards += 1
            file = out / f"{part or 'videos'}-{number:06d}.tar"
            temporary = file.with_name(f".{file.name}.tmp")
            with tarfile.open(temporary, "w") as tar:
                for video in packed:
                    _pack(tar, f"{done:08d}", video, manifest, part)
                    done += 1
                    if progress:
                        progress(done, len(manifest))
            temporary.replace(file)
    (out / "classes.txt").write_text("".join(f"{name}\n" for name in manifest.class_names))
    return shards


def _packs(videos: Sequence[Video], limit: int) -> Iterator[list[Video]]:
    """The videos in their order, as many at a time as a shard holds."""
    pack: list[Video] = []
    held = 0
    for video in videos:
        if pictures_of(video.path) is not None:
            raise DataError(f"{video.key}: a folder of pictures, which no shard holds")
        size = part.size if (part := part_of(video.path)) else video.path.stat().st_size
        if pack and held + size > limit:
            yield pack
            pack, held = [], 0
        pack.append(video)
        held += size
    if pack:
        yield pack


def _pack(
    tar: tarfile.TarFile, name: str, video: Video, manifest: Manifest, part: str | None
) -> None:
    facts = {
        "label": video.label,
        "label_name": manifest.class_names[video.label],
        **({"split": part} if part else {}),
        **({"group": video.group} if video.group else {}),
        "path": printable(video.key),
    }
    with opened(video.path) as file:
        info = tarfile.TarInfo(f"{name}{video.path.suffix.lower()}")
        info.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        tar.addfile(info, file)
    text = json.dumps(facts).encode()
    info = tarfile.TarInfo(f"{name}.json")
    info.size = len(text)
    tar.addfile(info, io.BytesIO(text))
