"""The clips of a run that is only planned: headers are read and a few videos decoded, no more.

Nothing is written. A hash that the cache does not know is made only where two files may be the
same, or where the plan needs all of them.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from expand3d.core.errors import DataError
from expand3d.core.process import cores
from expand3d.data.cache import (
    SPARE_BYTES,
    CachedStore,
    CacheSpec,
    estimate_bytes,
    holder,
    refuse_bad,
)
from expand3d.data.check import Bad, attempt
from expand3d.data.decode import decode_to
from expand3d.data.hashes import FileHashes
from expand3d.data.manifest import Manifest, Video
from expand3d.data.places import require_file
from expand3d.data.video_info import Frame, VideoInfo

#: Videos that a plan decodes.
DECODED = 3


@dataclass(frozen=True)
class Ahead:
    """The decoding that a run would begin with: `clips` of `bytes` in all, in about `seconds`.

    `beyond` are those that the cap leaves out, `short` the bytes that the disk lacks.
    """

    clips: int
    bytes: int
    seconds: float
    beyond: int = 0
    short: int = 0


class PlannedStore(CachedStore):
    """A store of clips most of which nobody has decoded yet; `ahead` says what that would take.

    `cached_bytes` are those of all clips once they are decoded. Where a video was not read, its
    hash is made of its name and proves nothing.
    """

    ahead: Ahead


def planned_store(
    manifest: Manifest,
    spec: CacheSpec,
    root: Path,
    *,
    infos: Mapping[str, VideoInfo],
    unopened: Sequence[Bad],
    on_bad: Literal["stop", "skip"],
    cap_bytes: int | None = None,
    hashed: Literal["all", "alike", ""] = "alike",
) -> PlannedStore:
    """The clips as `build_store` would give them, but that only a few are decoded, to no file.

    `infos` are the headers by key, `unopened` the videos without. `hashed` are all files, for plans
    of a study whose record knows them, those of equal sizes, or none. DataError as `build_store`.
    """
    hashes = FileHashes(root / "files.json")
    opened = [video for video in manifest.videos if video.key in infos]
    shas, bad = attempt(opened, _Names(opened, hashes, which=hashed).of)
    left = [v for v in shas if not holder(root, spec, shas[v]).path.is_file()]
    seconds, damaged = _decoded(_spread(left), spec)
    bad = tuple(sorted({*unopened, *bad, *damaged}))
    refuse_bad(manifest, bad, on_bad=on_bad)
    kept = manifest.without(key for key, _ in bad)
    store = PlannedStore(kept, spec, root, [shas[v] for v in kept.videos], bad)
    used = {video.key for video in kept.videos}
    store.ahead = _ahead(
        [infos[video.key] for video in left if video.key in used],
        spec,
        root,
        there=store.cached_bytes,
        cap=cap_bytes,
        seconds=seconds,
    )
    store.cached_bytes += store.ahead.bytes
    return store


class _Names:
    """The hash of a video's content where it is known or needed, else one made of its name."""

    def __init__(self, videos: Sequence[Video], hashes: FileHashes, *, which: str) -> None:
        self._hashes = hashes
        self._every = which == "all"
        self._sizes = Counter(_size(video) for video in videos if which == "alike")

    def of(self, video: Video) -> str:
        """The hash; DataError where the file cannot be read."""
        require_file(video.path)
        alike = bool(self._sizes) and self._sizes[_size(video)] > 1  # the same film may stand twice
        if self._every or alike or self._hashes.knows(video.path):
            return self._hashes.sha256(video.path)
        return f"not read: {video.key}"


def _size(video: Video) -> int:
    try:
        return require_file(video.path).size
    except (OSError, DataError):
        return -1


def _spread(videos: Sequence[Video]) -> list[Video]:
    """A few of the videos, from the first to the last."""
    last = len(videos) - 1
    places = {round(last * number / (DECODED - 1)) for number in range(DECODED)}
    return [videos[place] for place in sorted(places)] if videos else []


def _decoded(videos: Sequence[Video], spec: CacheSpec) -> tuple[float, tuple[Bad, ...]]:
    """Seconds that a frame of these videos takes, one at a time, and those that are damaged."""
    frames, started = 0, time.perf_counter()

    def count(frame: Frame, times: int) -> None:
        nonlocal frames
        frames += times

    def read(video: Video) -> None:
        decode_to(video.path, lambda: None, count, fps=spec.fps, short_side=spec.short_side)

    _, bad = attempt(videos, read, workers=1)
    return (time.perf_counter() - started) / max(1, frames), bad


def _ahead(
    infos: Sequence[VideoInfo],
    spec: CacheSpec,
    root: Path,
    *,
    there: int,
    cap: int | None,
    seconds: float,
) -> Ahead:
    """The decoding of videos with these headers, where a frame takes so many seconds."""
    planned, new = 0, 0
    for info in infos:
        size = estimate_bytes([info], spec)
        if cap is None or there + new + size <= cap:
            planned, new = planned + 1, new + size
    frames = sum(info.frames_at(spec.fps) for info in infos)
    home = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(home).free
    short = max(0, new + SPARE_BYTES - free) if new else 0
    return Ahead(planned, new, seconds * frames / cores(), len(infos) - planned, short)
