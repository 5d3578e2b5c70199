"""Trainings that do what a script says, in whichever process they run: train, break, die, hang.

Stands in for `expand3d.execute.evaluate.evaluate`; the script lies beside the checkpoints' folder.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from expand3d.core.errors import DataError
from expand3d.core.genotype import Plan
from expand3d.core.result import ClipScore, Interrupted, Training, TrainingKey
from expand3d.execute.evaluate import Bench, Job
from expand3d.training.progress import Progress
from tests.helpers.waiting import HANGS

EVALUATE = "tests.helpers.deeds:evaluate"
#: Steps of a training, each of one visit; after each, its number is in the checkpoint.
STEPS = 4


def evaluate(
    plan: Plan,
    bench: Bench,
    *,
    done: Mapping[TrainingKey, Training],
    checkpoint: Callable[[TrainingKey], Path],
    stop: Callable[[], bool],
    on_progress: Callable[..., None],
    weights_out: Callable[[TrainingKey], Path | None] = lambda key: None,
    visits: int | None = None,
) -> Iterator[tuple[TrainingKey, Training]]:
    for job in bench.jobs:
        key = job.key.until(visits)
        if key not in done:
            steps = STEPS if visits is None else visits
            yield key, _train(plan, job, checkpoint(key), stop, on_progress, steps)


def _train(
    plan: Plan,
    job: Job,
    path: Path,
    stop: Callable[[], bool],
    on_progress: Callable[..., None],
    steps: int,
) -> Training:
    home = path.parent.parent
    deed = json.loads((home / "script.json").read_text()).get(plan.digest, "train")
    start = int(path.read_text()) if path.exists() else 0
    with (home / "log").open("a") as log:
        log.write(f"{plan.digest} {job.key} {start} {os.getpid()}\n")
    for step in range(start, steps):
        if stop():
            raise Interrupted(f"stopped at step {step}")
        path.write_text(str(step + 1))
        on_progress(Progress("train", 1, 1, step + 1, steps, 1.0, 0.1, 9.0, 0.5))
        _do(deed, str(job.key), step, start, stop)
    score = ClipScore("clip", 0, 0, (int(plan.digest[:4], 16) + job.seed) / 7)
    return Training("ok", None, (score,), steps, 1, 1.0, 0, notes=(f"from step {start}",))


def _do(deed: str, key: str, step: int, start: int, stop: Callable[[], bool]) -> None:
    match deed:
        case "raise":
            raise RuntimeError("a kernel broke\nat length")
        case "memory":
            raise MemoryError("no room for 3 GB")
        case "no data":
            raise DataError("clip3.mp4: is gone")
        case "die once" if start == 0 and step == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "orphan once" if key == "1/0" and start == 0 and step == 1:
            time.sleep(2)  # the training before has been told of by then
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(HANGS)
        case "orphan":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(HANGS)
        case "pause":
            time.sleep(2)
        case "hang":
            time.sleep(3600)
        case "slow" if step == 1 and start == 0:
            until = time.monotonic() + HANGS
            while not stop() and time.monotonic() < until:
                time.sleep(0.05)


class Nothing:
    """A store without clips, as a bench needs one."""

    def __init__(self) -> None:
        self.keys: Any = ()
