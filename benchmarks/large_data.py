"""Seconds and memory of a data set of many videos before it trains, and of its record after.

    python benchmarks/large_data.py [--videos 100000] [--folder DIR] [--csv FILE]

Makes that many tiny videos (the same picture under other names; some 200 MB) in a folder that is
removed, or kept where it is named. Prints a row per step; each is a process of its own, with the
load of the machine when it began. The record that is opened is of a made-up search of TRIALS
networks, each with scores of a tenth of the videos.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

#: Videos in a folder, classes, and the budget of the plan.
PER_FOLDER, CLASSES, BUDGET = 1000, 400, "40MFLOPs"
#: Networks of the record.
TRIALS = 30


def make(root: Path, videos: int) -> Path:
    """A list of so many videos, made where it is not there."""
    listing = root / "list.csv"
    if listing.is_file():
        return listing
    one = root / "one.mp4"
    with av.open(str(one), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        for level in range(50, 90):
            picture = np.full((64, 80, 3), level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    data, lines = one.read_bytes(), ["path,label_name,split"]
    for number in range(videos):
        path = Path(f"{number // PER_FOLDER:04d}/{number:07d}.mp4")
        (root / path.parent).mkdir(exist_ok=True)
        # A free box at the end makes the content of each another.
        (root / path).write_bytes(data + b"\0\0\0\x10free" + number.to_bytes(8, "big"))
        split = "val" if number % 10 == 0 else "train"
        lines.append(f"{path},class{number % CLASSES},{split}")
    listing.write_text("\n".join(lines))
    return listing


def exists(listing: Path) -> None:
    """Every listed file is looked for."""
    from expand3d.data.manifest import load_manifest
    from expand3d.data.places import require_file

    for video in load_manifest(listing).videos:
        require_file(video.path)


def splits(listing: Path) -> None:
    """The manifest is read, and its parts are drawn."""
    from expand3d.data.manifest import load_manifest
    from expand3d.data.splits import make_splits

    make_splits(load_manifest(listing))


def plan(listing: Path) -> None:
    """A search is planned, but for the timing of its networks."""
    from expand3d.run.events import Watch
    from expand3d.run.plan import planned_study
    from expand3d.study.config import StudyConfig

    planned_study(StudyConfig(data=str(listing), budget=BUDGET), None, Watch())


def contents(listing: Path) -> None:
    """The data's part of a record that workers without the videos read, written and read back."""
    from expand3d.core.files import write_whole
    from expand3d.data.contents import Contents
    from expand3d.data.manifest import load_manifest

    manifest = load_manifest(listing)
    shas = tuple(f"{number:064x}" for number in range(len(manifest)))
    file = listing.parent / "contents.json"
    write_whole(file, json.dumps(Contents(manifest, shas, {}).to_json()))
    Contents.from_json(json.loads(file.read_text()))


def record(listing: Path) -> None:
    """A made-up study is written."""
    from record import make_study

    videos = len(listing.read_text().splitlines()) - 1
    make_study("large", listing.parent, "random", TRIALS, clips=videos, scored=videos // 10)


def opened(listing: Path) -> None:
    """The manifest, its parts and the record, as a study opens them that goes on."""
    from expand3d.study.record import DATA, Record

    splits(listing)
    found = Record.open("large", root=listing.parent)
    assert len(found.trials()) == TRIALS and found.attribute(DATA)["clips"]


STEPS: dict[str, Callable[[Path], None]] = {
    "exists": exists,
    "splits": splits,
    "contents": contents,
    "record": record,
    "opened": opened,
    "plan": plan,
}


def step(name: str, listing: Path) -> dict[str, Any]:
    """Seconds of one step, the most memory that it or a child held, and the load before it."""
    load, before = os.getloadavg()[0], time.perf_counter()
    STEPS[name](listing)
    seconds = time.perf_counter() - before
    usages = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(who) for who in usages]
    row: dict[str, Any] = {"step": name, "seconds": seconds}
    row["CPU s"] = sum(each.ru_utime + each.ru_stime for each in used)
    row |= {"GB": max(each.ru_maxrss for each in used) / 1e6, "load": load}
    return {key: value if key == "step" else round(value, 2) for key, value in row.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--csv", type=Path, help="also write the table here")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        print(json.dumps(step(args.step, args.folder / "list.csv")))
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as made:
        root = args.folder or Path(made)
        root.mkdir(parents=True, exist_ok=True)
        make(root, args.videos)
        for name in STEPS:
            command = [sys.executable, __file__, "--step", name, "--folder", str(root)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append({"videos": args.videos, **json.loads(done.stdout.splitlines()[-1])})
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
            if args.csv:
                with args.csv.open("w", newline="") as file:
                    writer = csv.DictWriter(file, list(rows[0]))
                    writer.writeheader()
                    writer.writerows(rows)


if __name__ == "__main__":
    main()
