"""Data sets of the user's own: clips as arrays or tensors in place of video files.

Their clips go into the cache, as decoded videos do, named by their content. Everything behind it is
the same for both.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import DataError
from expand3d.core.files import written_whole
from expand3d.data.cache import CachedStore, CacheSpec, estimate_bytes, holder
from expand3d.data.cache_use import Use
from expand3d.data.check import Progress
from expand3d.data.contents import Contents
from expand3d.data.manifest import Manifest, Split, Video
from expand3d.data.planned import Ahead, PlannedStore
from expand3d.data.scale import scaler
from expand3d.data.source import OWN
from expand3d.data.video_info import TOLERANCE, VideoInfo, frame_count, scaled_size

#: What is hashed before a clip's bytes; a change to how clips are stored must change it.
FORMAT = "expand3d array 1"
#: The parts that a clip may belong to.
PARTS: tuple[Split, ...] = get_args(Split)


class DataSet(Protocol):
    """Clips with a label each; a list, or whatever has a length and gives clip `i` for `[i]`.

    A clip is uint8 T x H x W x 3 (RGB), an array or a tensor, and the same each time it is read.
    Labels are numbers 0, 1, 2, ... or names. It may also have, per clip, `keys` (unique names),
    `groups` (scene or person) and `parts` ("train", "val", "test" or None), and of all together
    `class_names` and `fps` (frames per second; the study's target rate where it is left out).
    """

    @property
    def clips(self) -> Any: ...

    @property
    def labels(self) -> Any: ...


def contents_of(data: DataSet, *, fps: float) -> ArrayContents:
    """The contents of a data set; every clip is read once. DataError names what is wrong.

    `fps` is its frame rate where it does not say.
    """
    clips, count = data.clips, len(data.clips)
    source = f"{OWN}{type(data).__name__}"
    labels, names = _classes(_column(data, "labels", count), getattr(data, "class_names", None))
    keys = _column(data, "keys", count) or [
        f"clip {number:0{len(str(count))}d}" for number in range(count)
    ]
    keys = [str(key) for key in keys]
    if len(set(keys)) < count:
        raise DataError(f"{source}: keys must be unique")
    groups = _column(data, "groups", count) or [None] * count
    parts = _column(data, "parts", count) or [None] * count
    for part in parts:
        if part is not None and part not in PARTS:
            raise DataError(f"{source}: part {part!r} must be one of {', '.join(PARTS)} or None")
    rate = float(getattr(data, "fps", None) or fps)
    shas, infos = [], {}
    for number, key in enumerate(keys):
        frames = _frames(clips[number], key)
        shas.append(_sha(frames, rate))
        count, height, width = frames.shape[:3]
        infos[key] = VideoInfo(count, rate, width, height, count / rate, "array")
    videos = tuple(
        Video(Path(source) / key, key, label, None if group is None else str(group), part)
        for key, label, group, part in zip(keys, labels, groups, parts, strict=True)
    )
    return ArrayContents(Manifest(videos, names, source), tuple(shas), infos, clips=clips)


@dataclass(frozen=True)
class ArrayContents(Contents):
    """The contents of a data set whose clips are at hand: what the cache lacks is made of them."""

    clips: Any = field(default=(), kw_only=True, compare=False)

    def store(self, spec: CacheSpec, root: Path, progress: Progress | None = None) -> CachedStore:
        """The clips in the cache at `root`, all of which are there now.

        DataError where the disk is too small, or a clip is not what it was.
        """
        use = Use.of(root, map(spec.file_name, self.shas))
        lacking = self._lacking(spec, root)
        for done, index in enumerate(lacking, 1):
            self._write(index, root / spec.file_name(self.shas[index]), spec)
            if progress:
                progress(done, len(lacking))
        del use  # the store has its own
        return super().store(spec, root)

    def planned(self, spec: CacheSpec, root: Path) -> CachedStore:
        """A store of the clips that writes nothing."""
        store = PlannedStore(self.manifest, spec, root, self.shas, self.bad)
        keys = [self.manifest.videos[index].key for index in self._lacking(spec, root)]
        size = estimate_bytes((self.infos[key] for key in keys), spec)
        store.ahead = Ahead(len(keys), size, 0.0)
        store.cached_bytes += size
        return store

    def _lacking(self, spec: CacheSpec, root: Path) -> list[int]:
        held = [holder(root, spec, sha).load() for sha in self.shas]
        return [index for index, clip in enumerate(held) if clip is None]

    def _write(self, index: int, file: Path, spec: CacheSpec) -> None:
        key = self.manifest.videos[index].key
        frames, rate = _frames(self.clips[index], key), self.infos[key].fps
        if _sha(frames, rate) != self.shas[index]:
            raise DataError(f"{key}: the clip is not the same each time it is read")
        shown = frames[_resampled(len(frames), rate, spec.fps)]
        stored = _resized(shown[:: spec.every], spec.short_side)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(file) as out:
                np.save(out, stored)
        except OSError as error:
            raise DataError(f"{file} cannot be written: {error.strerror or error}") from None


def _resampled(count: int, rate: float, fps: float) -> NDArray[np.intp]:
    """The frame that is shown at 0, 1/fps, 2/fps, ..., as decoding videos chooses it."""
    due = np.arange(frame_count(count / rate, fps)) + TOLERANCE
    return np.minimum(np.floor(due * rate / fps).astype(np.intp), count - 1)


def _frames(clip: Any, key: str) -> NDArray[np.uint8]:
    """A clip as an array; DataError where it is none of uint8 T x H x W x 3."""
    try:
        frames = np.asarray(clip)
    except (TypeError, ValueError, RuntimeError) as error:  # such as a tensor on a GPU
        raise DataError(f"{key}: the clip cannot be read as an array ({error})") from None
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
        shape = " x ".join(map(str, frames.shape))
        raise DataError(f"{key}: {frames.dtype} {shape} must be uint8 T x H x W x 3 (RGB)")
    return frames


def _resized(frames_THWC: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    """The frames with their short side brought down as that of videos is, never up."""
    import av

    height, width = frames_THWC.shape[1:3]
    size = scaled_size(width, height, short_side)
    if size == (width, height):
        return frames_THWC
    scale = scaler()
    pictures = (np.ascontiguousarray(frame) for frame in frames_THWC)
    return np.stack([scale(av.VideoFrame.from_ndarray(p, format="rgb24"), *size) for p in pictures])


def _sha(frames: NDArray[np.uint8], rate: float) -> str:
    """The SHA-256 of a clip's frames and frame rate."""
    digest = hashlib.sha256(f"{FORMAT} {frames.shape} {rate!r}".encode())
    for frame in frames:
        digest.update(np.ascontiguousarray(frame).data)
    return digest.hexdigest()


def _column(data: DataSet, name: str, count: int) -> list[Any]:
    """The values of each clip that the data set has under `name`; empty where it has none."""
    found = getattr(data, name, None)
    if found is None:
        return []
    column = list(found)
    if len(column) != count or not count:
        raise DataError(f"{type(data).__name__}: {count} clips and {len(column)} {name}")
    return column


def _classes(
    labels: Sequence[Any], names: Sequence[str] | None
) -> tuple[list[int], tuple[str, ...]]:
    """The labels as numbers, and the name of each class; DataError on labels without a class."""
    if not labels:
        raise DataError("a data set needs labels, one for each clip")
    if isinstance(labels[0], str):
        known = tuple(names or sorted(set(labels)))
        numbers = {name: number for number, name in enumerate(known)}
        if unknown := sorted({label for label in labels if label not in numbers}):
            raise DataError(f"label {unknown[0]!r} is none of the class names")
        return [numbers[label] for label in labels], known
    try:
        found = [operator.index(label) for label in labels]
    except TypeError:
        raise DataError("labels must be whole numbers or names") from None
    known = tuple(names) if names is not None else tuple(map(str, range(max(found) + 1)))
    lacking = sorted({*range(len(known))} - {*found})
    if min(found) < 0 or max(found) >= len(known) or lacking:
        raise DataError(f"labels must be 0 to {len(known) - 1}, each of them at least once")
    return found, known
