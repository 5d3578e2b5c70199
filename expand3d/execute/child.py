"""The side that answers an assignment: in the driver, or in a worker process at a pipe's end.

A worker is `python -m expand3d.execute.child DESCRIPTOR` rather than a child of
`multiprocessing`, which would import the user's main script again. It gets benches, assignments and
the wish to stop, and tells what happens. Where its pipe closes, the driver is gone, and so is it.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from expand3d.core.errors import StudyError, UserError
from expand3d.core.result import Interrupted, Training, TrainingKey
from expand3d.data.cache import CachedStore
from expand3d.data.flow.store import FlowStore
from expand3d.data.source import cache_root, flow_root
from expand3d.execute.base import Assignment, reason_of
from expand3d.execute.evaluate import Bench

#: Seconds between two reports of a training's progress.
REPORT = 0.2


def answer(
    assignment: Assignment,
    bench: Bench,
    *,
    stop: Callable[[], bool],
    on_progress: Callable[[Any], None],
    on_training: Callable[[TrainingKey, Training], None],
) -> str | None:
    """Train what the assignment still lacks; None, or in one line why nothing more can be done.

    Raises Interrupted where `stop` ended it and UserError where no candidate could do better.
    """
    module, name = assignment.evaluate.split(":")
    evaluate = getattr(importlib.import_module(module), name)
    try:
        for key, training in evaluate(
            assignment.candidate.plan,
            dataclasses.replace(bench, inherited=assignment.inherited),
            done=assignment.done,
            checkpoint=assignment.checkpoint,
            stop=stop,
            on_progress=on_progress,
            weights_out=assignment.weights_of,
            visits=assignment.visits,
        ):
            on_training(key, training)
    except (Interrupted, UserError):
        raise
    except Exception as error:  # a candidate that breaks must not take the run with it
        return reason_of(error)
    return None


def rebuilt(bench: Bench, *, device: str | None) -> Bench:
    """The driver's bench on this machine: clips from its own cache, of the same content.

    Clips that are missing here are decoded, as many as the driver keeps. StudyError where the
    videos are not those that the driver sees.
    """
    store = bench.store
    if isinstance(store, FlowStore):
        clips, of = (
            rebuilt(dataclasses.replace(bench, store=each), device=device).store
            for each in (store.clips, store.of)
        )
        store = FlowStore(clips, store.spec, flow_root(), of)
    if isinstance(store, CachedStore):
        here = store.here(cache_root())
        if here.fingerprint != bench.fingerprint:
            raise StudyError("the videos that a worker sees differ in content from the driver's")
        store = here
    return dataclasses.replace(bench, store=store, device=device or bench.device)


def refuse_other(assignment: Assignment, bench: Bench) -> None:
    """StudyError where this machine would train something else than the driver has begun."""
    if bench.identity(assignment.candidate.plan, assignment.candidate.start) != assignment.identity:
        raise StudyError(
            f"{assignment.title} would be trained otherwise by a worker than by the driver; "
            "both need the same version of expand3d"
        )
    if not assignment.checkpoints.is_dir():
        raise StudyError(
            f"{assignment.checkpoints} is not there for a worker; --root must be a folder that "
            "every machine sees"
        )
    for _, parent in assignment.inherited:
        if not parent.file.is_file():
            raise StudyError(
                f"{parent.file} is not there for a worker; --init parent needs a --root that is "
                "one folder for all of them"
            )


class _Process:
    """The worker at its end of the pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._assignments: queue.SimpleQueue[tuple[str, Assignment]] = queue.SimpleQueue()
        self._packed: dict[str, tuple[bytes, str | None]] = {}
        self._benches: dict[str, Bench] = {}
        self._stop = threading.Event()
        self._told = 0.0

    def serve(self) -> None:
        """Answer assignments until the pipe closes."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._tell("hello")
        while True:
            self._answer(*self._assignments.get())

    def _listen(self) -> None:
        """Take what the driver sends, even in the middle of a training."""
        try:
            while True:
                kind, *content = self._pipe.recv()
                if kind == "bench":
                    key, packed, device = content
                    self._packed[key] = packed, device
                elif kind == "assignment":
                    self._assignments.put((content[0], content[1]))
                else:
                    self._stop.set()
        except (EOFError, OSError):
            # The driver is gone or wants us gone. Checkpoints are written whole or not at all,
            # and a resumed study may already be on its way: leave at once.
            os._exit(1)

    def _answer(self, key: str, assignment: Assignment) -> None:
        try:
            bench = self._bench(key)
            refuse_other(assignment, bench)
            self._tell("began")
            failure = answer(
                assignment,
                bench,
                stop=self._stop.is_set,
                on_progress=self._progress,
                on_training=partial(self._tell, "trained"),
            )
            self._tell("ended", failure)
        except Interrupted:
            self._tell("interrupted")
        except UserError as error:
            self._tell("refused", error)

    def _bench(self, key: str) -> Bench:
        if key not in self._benches:
            packed, device = self._packed.pop(key)
            self._benches[key] = rebuilt(pickle.loads(packed), device=device)
        return self._benches[key]

    def _progress(self, progress: Any) -> None:
        now = time.monotonic()
        if now - self._told >= REPORT:
            self._told = now
            self._tell("progress", progress)

    def _tell(self, *message: Any) -> None:
        try:
            self._pipe.send(message)
        except BrokenPipeError:  # the driver is gone; `_listen` is about to hear of it
            os._exit(1)


def main(descriptor: int) -> None:
    """Serve the driver at the other end of a socket that was inherited."""
    # A Ctrl-C or a batch system's signal may reach every process: the driver says what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _Process(Connection(descriptor)).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
