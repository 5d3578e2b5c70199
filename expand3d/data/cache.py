"""Decoded clips on disk: every training reads frames from here instead of decoding again.

One .npy file per clip (uint8 T x H x W x 3), named by what is in the video and how it is decoded:
a changed video or another size is another file, a moved video is the same. Files appear whole by a
rename, so that any number of processes may build and read one cache.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from expand3d.core.errors import DataError
from expand3d.core.units import in_bytes
from expand3d.data.cache_files import CacheFile, Mapped
from expand3d.data.cache_use import Use
from expand3d.data.check import Bad, Progress, attempt
from expand3d.data.clip_file import HEADER_BYTES, BeyondCap, Room, write_clip
from expand3d.data.decode import probe
from expand3d.data.hashes import FileHashes, fingerprint
from expand3d.data.layouts.folders import printable
from expand3d.data.manifest import Manifest, Video
from expand3d.data.same import tell_same
from expand3d.data.seeking import index_name, index_of
from expand3d.data.store import Clip
from expand3d.data.streamed import Streams
from expand3d.data.tiers import EVERY
from expand3d.data.video_info import VideoInfo, scaled_size

#: Part of every file's name; a change to what `decode` returns must change it.
FORMAT = "expand3d clip 1"
#: The file that remembers the hashes of videos.
HASHES = "files.json"
#: Left free on the disk when the cache is written.
SPARE_BYTES = 256 * 2**20
#: Videos that an error about many names.
FIRST_BAD = 10
#: A temporary file this old was left by a process that died.
LEFTOVER_SECONDS = 6 * 3600


@dataclass(frozen=True)
class CacheSpec:
    """The form in which clips are kept: frames per second, and the largest short side in pixels.

    Of the frames at that rate the first is kept, and `every` so many-th after it.
    """

    fps: float
    short_side: int
    every: int = 1

    def file_name(self, sha: str) -> str:
        """The cache file of a video whose content has this SHA-256, relative to the cache."""
        name = f"{FORMAT} {sha} {float(self.fps)!r} {self.short_side}"
        if self.every > 1:
            name += f" every {self.every}"
        digest = hashlib.sha256(name.encode()).hexdigest()[:32]
        return f"{digest[:2]}/{digest}.npy"

    def denser(self) -> tuple[CacheSpec, ...]:
        """Forms with these frames and more between them, the sparsest first."""
        fewer = [e for e in EVERY if e < self.every and self.every % e == 0]
        return tuple(replace(self, every=every) for every in fewer)


def estimate_bytes(infos: Iterable[VideoInfo], spec: CacheSpec) -> int:
    """Bytes that these videos take once decoded, by the facts in their headers."""
    total = 0
    for info in infos:
        width, height = scaled_size(info.width, info.height, spec.short_side)
        total += 3 * width * height * -(-info.frames_at(spec.fps) // spec.every)
    return total


def cached_bytes(shas: Iterable[str], specs: Iterable[CacheSpec], root: Path) -> int:
    """Bytes that videos of these contents take in the cache in these forms."""
    total, wanted = 0, tuple(specs)
    for sha in shas:
        for spec in wanted:
            with suppress(OSError):
                total += (root / spec.file_name(sha)).stat().st_size
    return total


class CachedStore:
    """A ClipStore over the cache; views of clips that are not in it are read from their videos.

    `manifest` is what can be used, `bad` what was dropped; `shas` are the SHA-256 of
    the videos' content. `cached_bytes` is what the clips take on disk in this form, though some may
    be read from one with more frames, whose values are the same; `on_the_fly` counts those beyond
    the cap; `use` keeps the files from being pruned. May be pickled: workers open the same files.
    """

    def __init__(
        self,
        manifest: Manifest,
        spec: CacheSpec,
        root: Path,
        shas: Sequence[str],
        bad: tuple[Bad, ...],
        use: Use | None = None,
    ) -> None:
        self.use = use
        self.keys: Sequence[str] = tuple(video.key for video in manifest.videos)
        self.labels: Sequence[int] = tuple(video.label for video in manifest.videos)
        self.groups: Sequence[str | None] = tuple(video.group for video in manifest.videos)
        self.class_names: Sequence[str] = manifest.class_names
        self.manifest = manifest
        self.spec = spec
        self.shas = tuple(shas)
        self.bad = bad
        self.fingerprint = fingerprint(manifest, shas)
        self.identities: Sequence[str] = tuple(spec.file_name(sha) for sha in shas)
        self.every = spec.every
        self._files = tuple(holder(root, spec, sha) for sha in shas)
        self._mapped = Mapped()
        self._streams = Streams(
            [video.path for video in manifest.videos],
            root,
            self.shas,
            fps=spec.fps,
            side=spec.short_side,
            every=spec.every,
        )
        sizes = {file: file.bytes() for file in set(self._files)}
        self.cached_bytes = sum(sizes.values())
        self.on_the_fly = sum(not sizes[file] for file in self._files)

    def __len__(self) -> int:
        return len(self.keys)

    def here(self, root: Path) -> CachedStore:
        """The same clips in another process, from its cache or decoded, as many as there are."""
        return build_store(self.manifest, self.spec, root, workers=1, cap_bytes=self.cached_bytes)

    def frames(self, index: int) -> Clip:
        """Clip `index` as read-only uint8 T x H x W x 3 (RGB), short side as cached; T >= 1."""
        clip = self._mapped.get(self._files[index])
        return self._streams.clip(index) if clip is None else clip


def build_store(
    manifest: Manifest,
    spec: CacheSpec,
    root: Path,
    *,
    workers: int | None = None,
    cap_bytes: int | None = None,
    beside: Iterable[CacheSpec] = (),
    on_bad: Literal["stop", "skip"] = "stop",
    on_same: Literal["stop", "say", "pass"] = "say",
    say: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> CachedStore:
    """The clips of a manifest, decoded into `root` where they are not there yet.

    Every video is read to its end once. With `on_bad` "stop" one DataError lists the files that
    cannot be used; "skip" leaves them out (the store's `bad` and `manifest` tell). With `on_same`
    "stop" one lists the films that stand under two labels or in two given parts, "say" names them
    among what `say` is told, as it does groups that names carry. Clips that would
    carry the cache of this manifest, in this form and those `beside` it, above `cap_bytes` are not
    written but read from their videos, view by view.
    `say` is told the size before anything is written, `progress` each video that was read. Raises
    DataError where the disk is too small.
    """
    if say and manifest.left_out:
        say(f"{manifest.source}: {manifest.left_out}")
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        hashes = FileHashes(root / HASHES)
        shas, bad = attempt(manifest.videos, lambda v: hashes.sha256(v.path), workers=workers)
        use = _use(root, spec, shas)
        if cap_bytes is not None:
            cap_bytes = max(0, cap_bytes - cached_bytes(set(shas.values()), beside, root))
        work = _Fill(spec, root, hashes, workers, cap_bytes, say, progress)
        bad += work.fill(shas)
        hashes.save()
    except OSError as error:
        raise _unwritable(root, error) from error
    refuse_bad(manifest, bad, on_bad=on_bad)
    kept = manifest.without(key for key, _ in bad)
    if on_same != "pass":
        tell_same(kept, [shas[v] for v in kept.videos], say=say, stop=on_same == "stop")
    return CachedStore(kept, spec, root, [shas[v] for v in kept.videos], tuple(sorted(bad)), use)


def _use(root: Path, spec: CacheSpec, shas: Mapping[Video, str]) -> Use:
    """The use of these videos' clips, and of the videos where they lie in the cache themselves."""
    homes = {v.path.relative_to(root).parts[0] for v in shas if v.path.is_relative_to(root)}
    forms = (spec, *spec.denser())  # a clip with more frames may serve
    clips = (f.file_name(sha) for f in forms for sha in shas.values())
    return Use.of(root, [*clips, *map(index_name, shas.values()), *homes])


def refuse_bad(manifest: Manifest, bad: Sequence[Bad], *, on_bad: Literal["stop", "skip"]) -> None:
    """DataError that lists the videos that cannot be used, or where none is left of "skip"."""
    if bad and (on_bad == "stop" or len(bad) == len(manifest)):
        raise DataError(_refusal(manifest, sorted(bad)))


def content_hashes(manifest: Manifest, root: Path, *, keep: bool) -> dict[Video, str]:
    """The SHA-256 of the videos that can be read, by the cache `root` where it knows them.

    With `keep` it knows them next time.
    """
    hashes = FileHashes(root / HASHES)
    shas, _ = attempt(manifest.videos, lambda v: hashes.sha256(v.path))
    if not keep:
        return shas
    try:
        root.mkdir(parents=True, exist_ok=True)
        hashes.save()
    except OSError as error:
        raise _unwritable(root, error) from error
    return shas


def _unwritable(root: Path, error: OSError) -> DataError:
    return DataError(f"{root}: the clip cache cannot be written ({error.strerror})")


def _refusal(manifest: Manifest, bad: Sequence[Bad]) -> str:
    """One line: how many videos cannot be used, the first of them, and the ways on."""
    listed = "; ".join(f"{printable(key)}: {reason}" for key, reason in bad[:FIRST_BAD])
    more = f"; and {len(bad) - FIRST_BAD} more" if len(bad) > FIRST_BAD else ""
    skip = "" if len(bad) == len(manifest) else "--skip-bad goes on without them, "
    ways = f"{skip}`expand3d data check {manifest.source}` lists them all"
    return f"{len(bad)} of {len(manifest)} videos cannot be used: {listed}{more} ({ways})"


@dataclass(frozen=True)
class _Fill:
    """One filling of the cache; the fields are arguments of `build_store`."""

    spec: CacheSpec
    root: Path
    hashes: FileHashes
    workers: int | None
    cap_bytes: int | None
    say: Callable[[str], None] | None
    progress: Progress | None

    def fill(self, shas: Mapping[Video, str]) -> tuple[Bad, ...]:
        """Write the clips that are missing, up to the cap; index the videos of the others."""
        files = {video: self.root / self.spec.file_name(sha) for video, sha in shas.items()}
        # Where there are several forms, others than this one count among those beside it.
        there = sum(CacheFile(file).bytes() for file in set(files.values()))
        held = {sha: holder(self.root, self.spec, sha).bytes() for sha in set(shas.values())}
        missing = [video for video, sha in shas.items() if not held[sha]]
        infos, unopened = attempt(missing, lambda v: probe(v.path), workers=self.workers)
        planned: dict[Video, int] = {}
        new = 0
        for video, info in infos.items():
            size = estimate_bytes([info], self.spec)
            headers = (len(planned) + 1) * HEADER_BYTES
            if self.cap_bytes is None or there + new + size + headers <= self.cap_bytes:
                planned[video] = size + HEADER_BYTES
                new += size
        self._announce(there, new, len(planned), len(infos) - len(planned))
        self._check_space(new)
        room = Room(self.cap_bytes, there + sum(planned.values()))
        larger: list[Video] = []
        indexes = {video: self.root / index_name(sha) for video, sha in shas.items()}

        def read(video: Video) -> None:
            if video in planned:
                try:
                    write_clip(
                        video.path,
                        files[video],
                        room=room,
                        reserved=planned[video],
                        **asdict(self.spec),
                    )
                    return
                except BeyondCap:
                    larger.append(video)
            index_of(video.path).save(indexes[video])

        unread = [v for v in infos if v in planned or not indexes[v].is_file()]
        _, damaged = attempt(unread, read, workers=self.workers, progress=self.progress)
        if larger and self.say:
            self.say(
                f"clip cache: {len(larger)} clips are longer than their headers say, do not fit "
                "under its cap and are read from their videos"
            )
        return (*unopened, *damaged)

    def _announce(self, there: int, new: int, written: int, beyond: int) -> None:
        if self.say is None or not written + beyond:
            return
        beside = f" beside {in_bytes(there)}" if there else ""
        frames = f", {kept(self.spec)}" if self.spec.every > 1 else ""
        self.say(
            f"clip cache: {in_bytes(new)} to write{beside} in {self.root} ({written} clips, "
            f"{self.spec.fps:g} frames/s, short side {self.spec.short_side}{frames})"
        )
        if beyond:
            self.say(
                f"clip cache: {beyond} clips do not fit under its cap and are read from their "
                "videos"
            )

    def _check_space(self, needed: int) -> None:
        free = shutil.disk_usage(self.root).free
        if needed and needed + SPARE_BYTES > free:
            raise DataError(
                f"{self.root}: the clip cache needs {in_bytes(needed)} more and the disk has "
                f"{in_bytes(free)} free; lower the cap of the cache (clips beyond it are read "
                "from their videos) or give it another place"
            )


def holder(root: Path, spec: CacheSpec, sha: str) -> CacheFile:
    """The file of a clip in its own form; where it is not there, a sound one with more frames."""
    own = CacheFile(root / spec.file_name(sha))
    denser = (CacheFile(root / e.file_name(sha), spec.every // e.every) for e in spec.denser())
    return next((file for file in (own, *denser) if file.load() is not None), own)


def kept(spec: CacheSpec) -> str:
    """Words for the frames that are kept."""
    ending = {1: "", 2: "2nd ", 3: "3rd "}.get(spec.every, f"{spec.every}th ")
    return f"every {ending}frame"


def _sweep(root: Path) -> None:
    """Remove what killed processes left half written (old enough to be nobody's)."""
    for leftover in root.rglob(".*.tmp"):
        with suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
                leftover.unlink()
