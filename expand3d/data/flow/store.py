"""Flow of cached clips, on disk beside them: computed once, mapped by every training.

One .npy file per clip (uint8 T x H x W x 2, `quantise`'s scale), named by the clip's content and by
everything that its vectors depend on; beside it a .json with the loss by 8 bits and the time that
it took. Field t leads from frame t to frame t + distance.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expand3d.core import files
from expand3d.core.errors import DataError
from expand3d.core.genotype import digest
from expand3d.core.input_kinds import Source
from expand3d.core.plugins import FLOWS
from expand3d.data.cache_use import Use
from expand3d.data.flow.methods import Method, grey, opencv
from expand3d.data.flow.precomputed import FlowFiles
from expand3d.data.flow.quantise import Loss, loss, quantise
from expand3d.data.flow.warp import without_camera
from expand3d.data.store import Clip, ClipStore
from expand3d.data.video_info import scaled_size

#: Part of every file's name; a change to what `fields` returns must change it.
FORMAT = "expand3d flow 1"


@dataclass(frozen=True)
class FlowSpec:
    """The way in which flow is computed and kept.

    It is computed at `short_side` pixels, or at the clip's own size where that is smaller, between
    images that are `distance` frames apart at the target frame rate. Vectors are clipped to
    +-`bound` pixels of that size. `files` is the identity of flow that another tool computed, whose
    pictures are read instead; they keep their size.
    """

    method: str = "dis"
    short_side: int = 128
    distance: int = 1
    bound: float = 20.0
    files: str = ""

    def __post_init__(self) -> None:
        FLOWS.row(self.method)
        for name, least in (("short_side", 16), ("distance", 1)):
            if getattr(self, name) < least:
                raise DataError(f"flow {name} = {getattr(self, name)} must be at least {least}")
        if not self.bound > 0:
            raise DataError(f"flow bound = {self.bound:g} must be more than 0")

    def identity(self) -> str:
        """16 hex digits of all that the vectors of a clip depend on beside its frames."""
        if self.files:
            return digest(FORMAT, self.files, self.distance, self.bound)
        computed = dataclasses.asdict(self)
        del computed["files"]  # as versions wrote it that could only compute flow
        return digest(FORMAT, computed)


class FlowStore:
    """Clips with their flow: a ClipStore whose `flow` and `warped` compute what is not there yet.

    Flow is computed from `of`, the same clips at another size, where that is given, or read from
    `files`. May be pickled: workers open the same files. Computing a clip twice at once gives the
    same file.
    """

    def __init__(
        self,
        clips: ClipStore,
        spec: FlowSpec,
        root: Path,
        of: ClipStore | None = None,
        files: FlowFiles | None = None,
    ) -> None:
        if files is not None:
            spec = dataclasses.replace(spec, files=files.identity)
        self.clips, self.spec, self.root, self.files = clips, spec, root, files
        self.of = clips if of is None else of
        self.keys: Sequence[str] = clips.keys
        self.identities: Sequence[str] = clips.identities
        self.labels: Sequence[int] = clips.labels
        self.groups: Sequence[str | None] = clips.groups
        self.class_names: Sequence[str] = clips.class_names
        self.every = clips.every
        self._mapped: dict[Path, NDArray[np.uint8]] = {}
        self._use: Use | None = None

    def __len__(self) -> int:
        return len(self.clips)

    def __reduce__(self) -> tuple[type[FlowStore], tuple[Any, ...]]:
        return FlowStore, (self.clips, self.spec, self.root, self.of, self.files)

    def frames(self, index: int) -> Clip:
        """Clip `index` as read-only uint8 T x H x W x 3."""
        return self.clips.frames(index)

    def flow(self, index: int) -> NDArray[np.uint8]:
        """Flow of clip `index`, read-only uint8 T x h x w x 2 as `quantise` writes it; T >= 1."""
        return self._fields(index, "flow")

    def warped(self, index: int) -> NDArray[np.uint8]:
        """The same less the camera's motion, as `without_camera` finds it."""
        return self._fields(index, "warped")

    def backward(self, index: int) -> NDArray[np.uint8]:
        """Flow back to each frame of clip `index`, from the one `distance` later."""
        return self._fields(index, "backward")

    def facts(self, index: int, source: Source = "flow") -> FlowFacts:
        """The loss by 8 bits and the time of a clip's flow, which is computed if need be."""
        self._fields(index, source)
        data = json.loads(self._file(index, source).with_suffix(".json").read_text())
        return FlowFacts(Loss(*data["loss"]), data["pairs"], data["seconds"])

    def missing(self, indices: Sequence[int], source: Source = "flow") -> list[int]:
        """The clips whose flow is not there yet."""
        return [i for i in indices if self._open(self._file(i, source)) is None]

    def fill(
        self,
        sources: Iterable[Source],
        *,
        workers: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Compute what is missing of these sources, several clips at a time."""
        wanted = sorted({*sources} - {"frames"})
        files = (self._file(i, source) for i in range(len(self)) for source in wanted)
        self._use = Use.of(self.root, [f.relative_to(self.root).as_posix() for f in files])
        left = [(i, source) for source in wanted for i in self.missing(range(len(self)), source)]
        with ThreadPoolExecutor(workers, "flow") as pool:
            waiting = [pool.submit(self._fields, i, source) for i, source in left]
            try:
                for done, future in enumerate(as_completed(waiting), 1):
                    future.result()
                    progress(done, len(left))
            finally:
                for future in waiting:
                    future.cancel()

    def _fields(self, index: int, source: Source) -> NDArray[np.uint8]:
        file = self._file(index, source)
        found = self._open(file)
        if found is None:
            self._compute(index, file, source)
            found = self._open(file)
        if found is None:
            raise DataError(f"{file}: the flow that was written cannot be read")
        return found

    def _open(self, file: Path) -> NDArray[np.uint8] | None:
        found = self._mapped.get(file)
        if found is None:
            try:
                found = np.asarray(np.load(file, mmap_mode="r"))
            except (OSError, ValueError, EOFError):
                return None
            self._mapped[file] = found
        return found

    def _file(self, index: int, source: Source) -> Path:
        made_by = self.spec.identity()
        if self.files is not None:  # not of all clips: what is read stays when others join
            alone = self.files.clips[self.keys[index]].identity
            made_by = dataclasses.replace(self.spec, files=alone).identity()
        text = f"{made_by} {self.of.identities[index]} {source}"
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        return self.root / name[:2] / f"{name}.npy"

    def _compute(self, index: int, file: Path, source: Source) -> None:
        started = time.perf_counter()
        fields = self._made(index, source)
        seconds = time.perf_counter() - started
        each = [loss(field, self.spec.bound) for field in fields]
        facts = {
            "loss": [float(np.mean(values)) for values in zip(*each, strict=True)],
            "pairs": len(fields),
            "seconds": seconds,
        }
        stored = np.stack([quantise(field, self.spec.bound) for field in fields])
        files.make_folder(file.parent)
        files.write_whole(file.with_suffix(".json"), json.dumps(facts))
        with files.writing(file), files.written_whole(file) as out:
            np.save(out, stored)

    def _made(self, index: int, source: Source) -> list[NDArray[np.float32]]:
        """The fields h x w x 2 of a clip in pixels, computed or read."""
        frames_THWC = np.asarray(self.of.frames(index))
        if self.files is None:
            return list(flow_of(frames_THWC, self.spec, source))
        if source != "flow":
            raise DataError(
                f"the network reads {source} flow, and {self.files.root} holds flow forward in "
                "time alone; leave flow_data out, so that it is computed"
            )
        count, *shape = frames_THWC.shape[:3]
        return self.files.fields(
            self.keys[index],
            bound=self.spec.bound,
            frames=count,
            shape=(shape[0], shape[1]),
            distance=self.spec.distance,
        )


@dataclass(frozen=True)
class FlowFacts:
    """The loss of a clip's flow by 8 bits, and the seconds that its `pairs` of images took."""

    loss: Loss
    pairs: int
    seconds: float


def flow_of(
    clip_THWC: NDArray[np.uint8], spec: FlowSpec, source: Source = "flow"
) -> list[NDArray[np.float32]]:
    """The fields h x w x 2 of a clip in pixels at the spec's size; zeros for too few frames."""
    pairs = Pairs(spec)
    images = [pairs.image(frame) for frame in clip_THWC]
    if len(images) <= spec.distance:
        return [np.zeros((*images[0].shape, 2), np.float32)]
    later = images[spec.distance :]
    return [pairs.field(*pair, source) for pair in zip(images, later, strict=False)]


Grey = NDArray[np.uint8]


class Pairs:
    """Flow of single pairs of frames by a spec, in one thread."""

    def __init__(self, spec: FlowSpec) -> None:
        self._short_side = spec.short_side
        self._method: Method = FLOWS.load(spec.method)()

    def image(self, frame_HWC: NDArray[np.uint8]) -> Grey:
        """The grey image of a frame at the size that flow is computed at."""
        return _image(frame_HWC, self._short_side)

    def field(self, before: Grey, after: Grey, source: Source = "flow") -> NDArray[np.float32]:
        """The field h x w x 2 in pixels between two images."""
        return _FINDERS[source](self._method, before, after)


def _plain(method: Method, before: Grey, after: Grey) -> NDArray[np.float32]:
    return method(before, after)


def _back(method: Method, before: Grey, after: Grey) -> NDArray[np.float32]:
    return method(after, before)


_FINDERS: Mapping[Source, Callable[[Method, Grey, Grey], NDArray[np.float32]]] = {
    "flow": _plain,
    "backward": _back,
    "warped": without_camera,
}


def _image(frame_HWC: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    """The grey image of a frame at the size that flow is computed at; never enlarged."""
    height, width = frame_HWC.shape[:2]
    size = scaled_size(width, height, short_side)
    image = grey(frame_HWC)
    if size != (width, height):
        cv2 = opencv()
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return image
