"""Training clips a second from the cache, and from the videos by seeking; both in one run.

    python benchmarks/streaming.py [--data PATH ...] [--clips 24] [--repeats 5] [--threads 1]
                                   [--csv FILE]

Without `--data` it makes videos of 300 frames of 340 x 256 pixels (H.264), which begin anew every
12 or every 250 frames. Both sides make the same views, which are compared, by the threads that feed
a training; they take turns, an epoch each. Some videos are decoded whole for each view, too. Ratios
are within one run; clips a second depend on what else the machine does, whose load is in the table.
Take more than 16 clips, so that none is remembered from the epoch before.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from feeding import plan_of

from expand3d.core.genotype import Plan
from expand3d.core.recipe import get_profile
from expand3d.data.cache import CachedStore, CacheSpec, build_store
from expand3d.data.decode import decode
from expand3d.data.manifest import load_manifest
from expand3d.data.seeking import index_of
from expand3d.data.tiers import tier
from expand3d.training.batches import ahead
from expand3d.training.views import train_view

#: Frames, stride and crop of the views: X3D-XS, S, M.
VIEWS = ((4, 12, 112), (4, 12, 160), (13, 6, 160), (16, 5, 224))
#: Frames and size of made videos, and frames from one beginning to the next.
FRAMES, WIDTH, HEIGHT, GROUPS = 300, 340, 256, (12, 250)
#: One of so many clips is decoded whole, too.
WHOLE = 6
RECIPE, FPS = get_profile("quick"), 30.0
Row = dict[str, Any]


def make(folder: Path, clips: int, group: int) -> Path:
    """A folder of made videos in two classes."""
    rng, options = np.random.default_rng(group), {"g": str(group), "preset": "veryfast"}
    for number in range(clips):
        coarse = rng.integers(0, 255, (2 * HEIGHT // 16, 3 * WIDTH // 16, 3), dtype=np.uint8)
        scene = np.kron(coarse, np.ones((16, 16, 1), np.uint8))
        path = folder / f"class{number % 2}" / f"{number:03d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=30, options=options)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for moment in range(FRAMES):
                picture = scene[moment // 2 :, moment:][:HEIGHT, :WIDTH]
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return folder


def rows(name: str, data: Path, options: argparse.Namespace, root: Path) -> Iterator[Row]:
    """A row for each kind of view of one data set."""
    manifest = load_manifest(data)
    chosen = [int(i) for i in np.linspace(0, len(manifest) - 1, options.clips)]
    keep = {manifest.videos[i].key for i in chosen}
    manifest = manifest.without(v.key for v in manifest.videos if v.key not in keep)
    gaps = [np.diff(index_of(video.path).keys) for video in manifest.videos]
    between = statistics.median([int(gap) for each in gaps for gap in each] or [0])
    for frames, stride, crop in VIEWS:
        plan = plan_of(frames, stride, crop)
        spec = CacheSpec(FPS, tier(crop * RECIPE.jitter[1]))
        cached = build_store(manifest, spec, root / "cached")
        read = build_store(manifest, spec, root / "read", cap_bytes=0)
        assert (cached.on_the_fly, read.on_the_fly) == (0, len(manifest))
        form = {"fps": FPS, "short_side": spec.short_side}
        for index in range(len(cached)):
            assert torch.equal(_view(cached, plan, index, 0), _view(read, plan, index, 0))

        def whole(index: int, epoch: int, store: CachedStore = read, form: Any = form) -> None:
            decode(store.manifest.videos[index].path, **form)

        def viewed(store: CachedStore, plan: Plan = plan) -> Callable[[int, int], Any]:
            return partial(_view, store, plan)

        many = len(cached)
        sides = ((viewed(cached), many), (viewed(read), many), (whole, -(-many // WHOLE)))
        load = os.getloadavg()[0]
        turns = [
            [_per_second(side, count, 1 + turn, options.threads) for side, count in sides]
            for turn in range(options.repeats)
        ]
        rates = [statistics.median(side) for side in zip(*turns, strict=True)]
        ratios = sorted(one / other for one, other, _ in turns)
        yield {
            "data": name,
            "frames between beginnings": between,
            "view": f"{frames} x {crop}",
            "threads": options.threads,
            "cache clips/s": round(rates[0], 1),
            "streamed clips/s": round(rates[1], 1),
            "decoded whole clips/s": round(rates[2], 1),
            "cache / streamed": round(statistics.median(ratios), 1),
            "low": round(ratios[0], 1),
            "high": round(ratios[-1], 1),
            "streamed / whole": round(statistics.median(b / c for _, b, c in turns), 2),
            "load": round(load, 1),
        }


def _view(store: CachedStore, plan: Plan, index: int, epoch: int) -> torch.Tensor:
    (view,) = train_view(store, index, plan=plan, recipe=RECIPE, seed=0, epoch=epoch)
    return view


def _per_second(make: Callable[[int, int], Any], clips: int, epoch: int, threads: int) -> float:
    """Clips a second of an epoch, made ahead as for a training."""
    started = time.perf_counter()
    with closing(ahead(lambda i: make(i, epoch), range(clips), workers=threads)) as made:
        for _ in made:
            pass
    return clips / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="*", default=[])
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, help="also write the table here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        sets = [(path.stem, path) for path in options.data] or [
            (f"made, every {group}", make(root / str(group), options.clips, group))
            for group in GROUPS
        ]
        for name, data in sets:
            for row in rows(name, data, options, root):
                found.append(row)
                print(row, flush=True)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(found[0]))
            writer.writeheader()
            writer.writerows(found)


if __name__ == "__main__":
    main()
