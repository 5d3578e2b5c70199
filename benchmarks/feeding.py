"""Cost of a training view: from the cache of decoded clips, and by decoding its video with PyAV.

    python benchmarks/feeding.py [--data bundled] [--clips 32] [--repeats 5] [--side N] [--csv FILE]

Both sides make the same kind of view (random moment, jittered square, uint8 T x S x S x 3) of the
same clips, on one thread, and take turns. Our side is what trainings call; the other decodes the
whole video for each sample, as a Dataset around PyAV does. A megapixel-frame is a million pixels of
the view; what is not reading them is resizing to the jittered size. The cache is filled before and
its pages are warm, as in every epoch after the first. Clips have the size and the frames that a
network with such views reads, or all frames and a short side of `--side` pixels.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from expand3d.core.genotype import Plan
from expand3d.data import crops as augment
from expand3d.data import frames as sampling
from expand3d.data.cache import kept
from expand3d.data.source import cache_root
from expand3d.networks import get_family
from expand3d.run.events import Watch
from expand3d.run.prepare.data import find_videos, measures, sized_store
from expand3d.run.prepare.sizes import Form, Sizes
from expand3d.study.config import StudyConfig
from expand3d.training.batches import train_view

#: Frames, stride and crop of the views: X3D-XS, S, M.
VIEWS = ((4, 12, 112), (4, 12, 160), (13, 6, 160), (16, 5, 224))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="bundled")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--csv", type=Path, help="also write the table here")
    parser.add_argument("--side", type=int, help="of the clips, for all views")
    options = parser.parse_args()
    torch.set_num_threads(1)

    config = StudyConfig(budget="1G", data=options.data)
    recipe = config.training_recipe()
    rows = []
    for frames, stride, crop in VIEWS:
        plan = plan_of(frames, stride, crop)
        store, videos = _open(config, plan, options.side)
        chosen = [int(i) for i in np.linspace(0, len(store) - 1, options.clips)]

        def cached(index: int, plan: Plan = plan, store: Any = store) -> Any:
            (view,) = train_view(store, index, plan=plan, recipe=recipe, seed=0, epoch=0)
            return view

        def decoded(index: int, plan: Plan = plan, videos: Any = videos) -> Any:
            return _decoded(videos[index], plan, recipe.jitter, index)

        def read(index: int, plan: Plan = plan, store: Any = store) -> Any:
            """The pixels of a view alone, without resizing."""
            return np.array(store.frames(index)[: plan.frames, : plan.crop, : plan.crop])

        for index in chosen:
            assert cached(index).shape == decoded(index).shape == (frames, crop, crop, 3)
        turns = [
            (_per_view(cached, chosen), _per_view(decoded, chosen[:8]), _per_view(read, chosen))
            for _ in range(options.repeats)
        ]
        rows.append(_row(frames, crop, turns))
        print(rows[-1], flush=True)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _open(config: StudyConfig, plan: Plan, side: int | None) -> tuple[Any, list[Path]]:
    """The clips that a network reads, or of a short side, and their videos in the same order."""
    videos = find_videos(config, Watch())
    sizes = Sizes(*measures(videos, videos.report.infos, config.fps))
    form = Form(side) if side else sizes.form(plan, config.training_recipe())
    store = sized_store(config, videos, sizes=sizes, form=form, watch=Watch())
    print(f"{len(store)} clips of {form.side} pixels, {kept(store.spec)}, in {cache_root()}")
    return store, [video.path for video in store.manifest.videos]


def plan_of(frames: int, stride: int, crop: int) -> Plan:
    """X3D's base with another clip."""
    family = get_family("x3d")
    factors = {"gamma_t": frames, "gamma_tau": stride, "gamma_s": crop / 112}
    plan = family.resolve(family.base.replace(**factors))
    assert (plan.frames, plan.stride, plan.crop) == (frames, stride, crop)
    return plan


def _decoded(video: Path, plan: Plan, jitter: tuple[float, float], index: int) -> Any:
    """A view as a Dataset around PyAV makes it: every frame decoded, some kept."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        clip: Any = np.stack(
            [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        )
    rng = np.random.default_rng(index)
    first = sampling.train_start(len(clip), plan.frames, plan.stride, rng.random())
    frames = sampling.frame_indices(len(clip), first, plan.frames, plan.stride)
    region = augment.train_region(
        *clip.shape[1:3], crop=plan.crop, jitter=jitter, flip=False, uniforms=rng.random(4).tolist()
    )
    return augment.read(clip, frames, region, plan.crop)


def _per_view(make: Callable[[int], Any], indices: list[int]) -> float:
    """Seconds of one view."""
    started = time.perf_counter()
    for index in indices:
        make(index)
    return (time.perf_counter() - started) / len(indices)


def _row(frames: int, crop: int, turns: list[tuple[float, float, float]]) -> dict[str, Any]:
    cached, decoded, read = (statistics.median(times) for times in zip(*turns, strict=True))
    ratios = sorted(theirs / ours for ours, theirs, _ in turns)
    return {
        "view": f"{frames} x {crop}",
        "ms a view": round(1000 * cached, 3),
        "ms a megapixel-frame": round(1000 * cached / (frames * crop**2 / 1e6), 2),
        "of it reading": round(1000 * read / (frames * crop**2 / 1e6), 2),
        "PyAV ms a view": round(1000 * decoded, 2),
        "PyAV / ours": round(statistics.median(ratios), 1),
        "PyAV / ours, low": round(ratios[0], 1),
        "PyAV / ours, high": round(ratios[-1], 1),
    }


if __name__ == "__main__":
    main()
