"""The bundled clips: generated videos whose classes need time, detail and capacity to tell apart.

Nothing is downloaded and nothing ships but this code: the videos are rendered (`scenes`), encoded
and listed in a manifest, the same ones for a seed. See `scenes.PAIRS` for what the classes differ
in.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expand3d.data.bundled.scenes import CLASS_NAMES, FPS, PAIRS, render
from expand3d.data.check import Progress, in_parallel

#: Raised with every change to what is generated; part of the folder's name.
VERSION = 2
MANIFEST = "manifest.csv"
#: Nearly lossless, so that fine detail outlives the encoder; quick, and the same on every run.
ENCODER = {"crf": "12", "preset": "ultrafast", "threads": "1", "flags": "+bitexact"}


@dataclass(frozen=True)
class Scene:
    """One video to be made; the two classes of a pair share the scenes, which are the groups."""

    path: str
    label: int
    split: str
    group: str
    seed: tuple[int, ...]


def scenes(*, seed: int, train: int, val: int, test: int) -> Iterator[Scene]:
    """The videos of a data set with so many clips of every class in each part."""
    for part, (split, count) in enumerate((("train", train), ("val", val), ("test", test))):
        for number in range(count):
            for label, name in enumerate(CLASS_NAMES):
                pair = label // 2
                group = f"{split}-{PAIRS[pair].name}-{number:03d}"
                path = f"{split}/{name}/{number:03d}.mp4"
                yield Scene(path, label, split, group, (seed, part, number, pair))


def generate(
    folder: Path,
    *,
    seed: int = 0,
    train: int = 44,
    val: int = 26,
    test: int = 26,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """The manifest of videos written to `folder`: `train`, `val` and `test` clips of each class.

    The manifest is written last; paths in it are relative. About 40 clips a second on two cores.
    """
    todo = list(scenes(seed=seed, train=train, val=val, test=test))
    for parent in {(folder / scene.path).parent for scene in todo}:
        parent.mkdir(parents=True, exist_ok=True)
    made = in_parallel(todo, lambda scene: _make(folder, scene), workers=workers)
    for number, _ in enumerate(made, 1):
        if progress:
            progress(number, len(todo))
    with (folder / MANIFEST).open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["path", "label", "label_name", "split", "group"])
        for scene in todo:
            name = CLASS_NAMES[scene.label]
            lines.writerow([scene.path, scene.label, name, scene.split, scene.group])
    return folder / MANIFEST


def _make(folder: Path, scene: Scene) -> None:
    write_video(folder / scene.path, render(scene.label, np.random.default_rng(scene.seed)))


def write_video(path: Path, clip: NDArray[np.uint8]) -> None:
    """Encode uint8 T x H x W x 3 (RGB) as H.264 in mp4."""
    import av

    with av.open(str(path), "w", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options=ENCODER)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for pixels in clip:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
