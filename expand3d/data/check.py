"""A check of videos: decodes every file to its end, and describes the good ones."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple, TypeVar

from expand3d.core.errors import DataError
from expand3d.data.decode import probe, verify
from expand3d.data.hashes import sha256
from expand3d.data.manifest import Manifest, Video
from expand3d.data.near import Thumbs, near_copies, thumbnails
from expand3d.data.places import require_file
from expand3d.data.same import NearFilms, Same, near_films, same_films
from expand3d.data.video_info import VideoInfo

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Told after each file how many are done, of how many.
Progress = Callable[[int, int], None]


class Bad(NamedTuple):
    """A video that cannot be used: its key in the manifest, and why in one line."""

    key: str
    reason: str


@dataclass(frozen=True)
class CheckReport:
    """Facts of a manifest's good files by key, and the bad ones with reasons.

    `frames` is the median length in frames at `fps`; `short_side` the median in pixels (display
    size); `classes` counts good clips per class. The medians are None where no file is good. `same`
    are good files with the same bytes, where these were read, `near` pairs of nearly the same film.
    """

    infos: Mapping[str, VideoInfo]
    bad: tuple[Bad, ...]
    classes: Mapping[str, int]
    fps: float
    frames: float | None
    short_side: float | None
    same: tuple[Same, ...] = ()
    near: tuple[NearFilms, ...] = ()

    @property
    def ok(self) -> bool:
        """True where every file can be used, and none stands on two sides."""
        faults = (*(each.fault for each in self.same), *(each.fault for each in self.near))
        return not self.bad and not any(faults)

    @property
    def remarks(self) -> Mapping[str, str]:
        """The oddities of files that can be used, by key."""
        return {key: info.remark for key, info in self.infos.items() if info.remark}


def check(
    manifest: Manifest,
    *,
    fps: float = 30.0,
    deep: bool = True,
    near: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Facts of every video, found by decoding it to its end; bad files are reported, never raised.

    Truncated and damaged files open without complaint, so nothing less than decoding finds them.
    Without `deep` only the headers are read: quick facts, and only the files that do not open. With
    `near` videos are compared by their pictures, too.
    """
    shas: dict[Video, str] = {}
    thumbs: dict[Video, Thumbs] = {}

    def look(video: Video) -> VideoInfo:
        if not deep:
            return probe(video.path)
        info = verify(video.path)
        shas[video] = sha256(video.path)
        if near:
            thumbs[video] = thumbnails(video.path)
        return info

    infos, bad = attempt(manifest.videos, look, workers=workers, progress=progress)
    report = summed_up(manifest, infos, bad=bad, fps=fps)
    good = replace(manifest, videos=tuple(v for v in manifest.videos if v in shas))
    report = replace(report, same=same_films(good, [shas[video] for video in good.videos]))
    if not near:
        return report
    pairs = near_pairs(good, thumbs, shas)
    return replace(report, near=near_films(good, pairs))


def sampled(
    manifest: Manifest, *, fps: float, count: int, progress: Progress | None = None
) -> CheckReport:
    """The facts by the headers of about `count` videos; of the others only that they are there.

    A video whose header is not read is taken to be as the last one before it that was.
    """
    step = -(-len(manifest) // count)
    infos: dict[Video, VideoInfo] = {}
    bad: list[Bad] = []
    last: VideoInfo | None = None
    for number, video in enumerate(manifest.videos):
        try:
            require_file(video.path)
            if last is None or number % step == 0:
                last = probe(video.path)
            infos[video] = last
        except DataError as error:
            bad.append(Bad(video.key, str(error).removeprefix(f"{video.path}: ")))
        if progress:
            progress(number + 1, len(manifest))
    return summed_up(manifest, infos, bad=tuple(bad), fps=fps)


def near_pairs(
    manifest: Manifest, thumbs: Mapping[Video, Thumbs], shas: Mapping[Video, str]
) -> list[tuple[int, int]]:
    """The pairs of videos by index that are near copies, without those of the same bytes."""
    videos = manifest.videos
    found = near_copies([thumbs[video] for video in videos])
    pairs = ((each.first, each.second) for each in found)
    return [(a, b) for a, b in pairs if shas[videos[a]] != shas[videos[b]]]


def summed_up(
    manifest: Manifest, infos: Mapping[Video, VideoInfo], *, bad: tuple[Bad, ...], fps: float
) -> CheckReport:
    """The facts of single videos as one report."""
    counts = Counter(manifest.class_names[video.label] for video in infos)
    return CheckReport(
        infos={video.key: info for video, info in infos.items()},
        bad=bad,
        classes={name: counts[name] for name in manifest.class_names},
        fps=fps,
        frames=median(info.frames_at(fps) for info in infos.values()) if infos else None,
        short_side=median(info.short_side for info in infos.values()) if infos else None,
    )


def attempt(
    videos: Iterable[Video],
    work: Callable[[Video], Result],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[dict[Video, Result], tuple[Bad, ...]]:
    """Results of `work` by video, and the videos for which it raised DataError, in order."""
    todo = tuple(videos)
    done: dict[Video, Result] = {}
    bad: list[Bad] = []

    def guarded(video: Video) -> Result | DataError:
        try:
            return work(video)
        except DataError as error:
            return error

    for number, (video, result) in enumerate(in_parallel(todo, guarded, workers=workers), 1):
        if isinstance(result, DataError):
            bad.append(Bad(video.key, str(result).removeprefix(f"{video.path}: ")))
        else:
            done[video] = result
        if progress:
            progress(number, len(todo))
    return done, tuple(bad)


def in_parallel(
    items: Iterable[Item], work: Callable[[Item], Result], *, workers: int | None
) -> Iterator[tuple[Item, Result]]:
    """Each item with its result, in the order of the items, computed by a pool of threads.

    Decoding, hashing and writing leave Python's lock, so threads are enough. An exception, Ctrl-C
    included, drops what has not begun.
    """
    pool = ThreadPoolExecutor(max_workers=workers or os.cpu_count() or 1)
    try:
        futures = [(item, pool.submit(work, item)) for item in items]
        for item, future in futures:
            yield item, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
