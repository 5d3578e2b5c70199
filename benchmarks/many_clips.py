"""A small search on many tiny clips, killed once and resumed, beside the same search left alone.

    python benchmarks/many_clips.py [--videos 20000] [--folder DIR] [--csv FILE]

Makes that many videos of 8 frames of 32 x 32 pixels, no two with the same bytes, in a folder that
is removed, or kept where it is named. Prints a row per step; each is a process of its own, with the
most memory that it or a child of it held, and the machine's load when it began. The search
that is killed gets SIGKILL while it trains its fourth network. The scores of both searches must be
equal, clip by clip. `--cache-cap 0` reads all clips from their videos.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

from expand3d.core.errors import UserError
from expand3d.study.record import Record

#: Videos in a folder, classes, frames, and pixels of a side.
PER_FOLDER, CLASSES, FRAMES, SIDE = 1000, 10, 8, 32
#: The flags of the searches.
SEARCH = (
    *("--budget", "45MFLOPs", "--threads", "1", "--no-final"),
    *("--recipe", "clip_visits=500", "--recipe", "test_views=1"),
)
#: Networks that are scored when the first search is killed.
SCORED = 3
Row = dict[str, Any]


def make(root: Path, videos: int) -> Path:
    """A list of so many videos, made where it is not there."""
    listing = root / "list.csv"
    if listing.is_file():
        return listing
    bases = [_video(root / f"class{label}.mp4", label) for label in range(CLASSES)]
    lines = ["path,label_name,split"]
    for number in range(videos):
        path = Path(f"{number // PER_FOLDER:04d}/{number:07d}.mp4")
        (root / path.parent).mkdir(exist_ok=True)
        # A free box at the end makes the content of each another.
        data = bases[number % CLASSES] + b"\0\0\0\x10free" + number.to_bytes(8, "big")
        (root / path).write_bytes(data)
        split = {0: "val", 1: "test"}.get(number // CLASSES % 10, "train")
        lines.append(f"{path},class{number % CLASSES},{split}")
    listing.write_text("\n".join(lines))
    return listing


def _video(path: Path, label: int) -> bytes:
    """The bytes of a video of a bar that moves by its class."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for moment in range(FRAMES):
            picture = np.full((SIDE, SIDE, 3), 20 * label, dtype=np.uint8)
            at = (label + 2) * moment % SIDE
            picture[:, at : at + 4] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def opened(root: Path) -> None:
    """The manifest, its parts and the record are opened, as by a process that resumes."""
    from expand3d.data.manifest import load_manifest
    from expand3d.data.splits import make_splits

    make_splits(load_manifest(root / "list.csv"))
    assert Record.open("killed", root=root).trials()


def command(root: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "expand3d", *words, "--root", str(root)]


def run(root: Path, name: str, *more: str) -> list[str]:
    """The command of a search."""
    return command(root, "run", "--data", str(root / "list.csv"), "--study", name, *SEARCH, *more)


def finished(words: list[str], root: Path, log: str) -> None:
    """A command that runs to its end, what it says going to a file."""
    with (root / f"{log}.log").open("w") as out:
        subprocess.run(words, check=True, stdout=out, stderr=subprocess.STDOUT)


def killed(words: list[str], root: Path) -> None:
    """A search that is killed while it trains the network after SCORED others."""
    with (root / "killed.log").open("w") as out:
        search = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT)
    while search.poll() is None:
        time.sleep(1)
        states = Counter(trial.state for trial in trials(root, "killed"))
        if states["complete"] >= SCORED and states["running"]:
            search.send_signal(signal.SIGKILL)
    assert search.wait() == -signal.SIGKILL, "the search ended before it could be killed"


def trials(root: Path, name: str) -> tuple[Any, ...]:
    """The trials of a study, none where it is not made yet."""
    try:
        return Record.open(name, root=root).trials()
    except UserError:
        return ()


def whole(root: Path) -> int:
    """The networks of the search that was killed, none of them lost or there twice."""
    found = trials(root, "killed")
    assert [trial.number for trial in found] == [*range(len(found))]
    assert len({trial.candidate.digest for trial in found}) == len(found)
    assert {trial.state for trial in found} == {"complete"}
    return len(found)


def refuse_other_scores(root: Path) -> None:
    """AssertionError where the searches have other networks, or other scores of a clip."""
    for a, b in zip(trials(root, "killed"), trials(root, "alone"), strict=True):
        assert a.candidate.digest == b.candidate.digest
        for key, training in a.trainings.items():
            equal = [*training.scores] == [*b.trainings[key].scores]
            assert equal, f"trial {a.number} has other scores"


def step(name: str, root: Path, more: list[str]) -> Row:
    """Seconds of a step, the load before it, and the most memory of its process."""
    works: dict[str, Callable[[], None]] = {
        "planned": lambda: finished(run(root, "planned", "--plan", *more), root, name),
        "killed": lambda: killed(run(root, "killed", *more), root),
        "resumed": lambda: finished(command(root, "resume", "killed"), root, name),
        "opened": lambda: opened(root),
        "alone": lambda: finished(run(root, "alone", *more), root, name),
    }
    load, before = os.getloadavg()[0], time.perf_counter()
    works[name]()
    seconds = time.perf_counter() - before
    used = resource.getrusage(
        resource.RUSAGE_SELF if name == "opened" else resource.RUSAGE_CHILDREN
    )
    row: Row = {"step": name, "seconds": seconds, "CPU s": used.ru_utime + used.ru_stime}
    row |= {"GB": used.ru_maxrss / 1e6, "load": load}
    return {key: value if key == "step" else round(value, 2) for key, value in row.items()}


STEPS = ("planned", "killed", "resumed", "opened", "alone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=20_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--csv", type=Path, help="also write the table here")
    parser.add_argument("--cache-cap", default="20GiB", metavar="SIZE")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    more = ["--cache-cap", args.cache_cap]
    if args.step:
        print(json.dumps(step(args.step, args.folder, more)))
        return
    with tempfile.TemporaryDirectory() as made:
        root = args.folder or Path(made)
        root.mkdir(parents=True, exist_ok=True)
        os.environ["EXPAND3D_CACHE"] = str(root / "cache")
        make(root, args.videos)
        rows = []
        for name in STEPS:
            words = [sys.executable, __file__, "--step", name, "--folder", str(root), *more]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            rows.append({"videos": args.videos, **json.loads(done.stdout)})
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
            if args.csv:
                write(args.csv, rows)
            if name == "opened":
                print(f"{whole(root)} networks, none lost or there twice", flush=True)
        refuse_other_scores(root)
        print("the scores of both searches are equal, clip by clip")


def write(file: Path, rows: list[Row]) -> None:
    """The table so far."""
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
