"""Several candidates at a time, each in a worker process on this machine."""

from __future__ import annotations

import hashlib
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, Pipe, wait
from types import TracebackType
from typing import Any

from expand3d.core import process as children
from expand3d.core.errors import StudyError
from expand3d.core.result import Interrupted, Training, TrainingKey
from expand3d.execute.base import RETRIES, TICK, Assignment, Assignments, Listener, Setting
from expand3d.execute.evaluate import Bench

#: Seconds that a worker has to leave once its pipe is closed.
LEAVE = 5.0


@dataclass
class _Order:
    """An assignment on its way: what it has got so far, and how many workers were lost over it."""

    assignment: Assignment
    bench: Bench
    done: dict[TrainingKey, Training] = field(default_factory=dict)
    losses: int = 0


@dataclass
class _Worker:
    """One process; `began` is when it took up the training that it is at."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    device: str | None
    greeted: bool = False
    benches: set[str] = field(default_factory=set)
    order: _Order | None = None
    began: float | None = None

    @classmethod
    def start(cls, device: str | None) -> _Worker:
        mine, theirs = Pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "expand3d.execute.child", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=children.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            process_group=0,  # a Ctrl-C in the terminal is the driver's
        )
        theirs.close()  # or the end of the process would not close the pipe
        return cls(process, mine, device)

    def take(self, order: _Order) -> None:
        """Send the assignment, and its bench where the process does not have it yet."""
        self.order, self.began = order, None
        packed = pickle.dumps(order.bench)
        key = hashlib.sha256(packed).hexdigest()
        with suppress(BrokenPipeError, ConnectionResetError):  # heard of as the end of the pipe
            if key not in self.benches:
                self.benches.add(key)
                self.pipe.send(("bench", key, packed, self.device))
            self.pipe.send(("assignment", key, replace(order.assignment, done=order.done)))

    def ask_to_stop(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(("stop",))

    def overdue(self, grace: float) -> bool:
        """True where its training has had its time and some more, and was not given up."""
        if self.order is None or self.began is None or self.order.bench.timeout is None:
            return False
        return time.monotonic() - self.began > self.order.bench.timeout + grace

    def kill(self) -> str:
        """The way in which the process ended, which it has when this returns."""
        self.process.kill()
        return self.end()

    def end(self) -> str:
        """The way in which the process ended; nothing more is to be heard of it."""
        self.pipe.close()
        try:
            code = self.process.wait(LEAVE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


class Processes:
    """The executor with `workers` processes, which live from the first batch to the last."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._workers: dict[int, _Worker] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers.values():
            worker.pipe.close()
        for worker in self._workers.values():
            worker.end()
        self._workers.clear()

    def run(self, assignments: Assignments, listener: Listener, stop: Callable[[], bool]) -> None:
        """Answer every assignment as `Executor.run` says."""
        _Batch(self._setting, self._workers, assignments, listener).run(stop)


class _Batch:
    """One call of `run`."""

    def __init__(
        self,
        setting: Setting,
        workers: dict[int, _Worker],
        assignments: Assignments,
        listener: Listener,
    ) -> None:
        self._setting, self._workers = setting, workers
        self._assignments, self._listener = assignments, listener
        self._again: deque[_Order] = deque()
        self._stopping = False

    def run(self, stop: Callable[[], bool]) -> None:
        try:
            while True:
                if stop():
                    raise Interrupted("stopped while workers trained")
                self._hand_out()
                if not self._busy():
                    return
                self._hear(TICK)
                self._give_up_overdue()
        except BaseException:
            self._halt()
            raise

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers.values() if worker.order is not None]

    def _hand_out(self) -> None:
        """Give every free worker an assignment, as long as there are assignments."""
        for slot in range(self._setting.workers):
            worker = self._workers.get(slot)
            if worker is not None and worker.order is not None:
                continue
            order = self._again.popleft() if self._again else self._next()
            if order is None:
                return
            if worker is None:
                devices = self._setting.devices
                worker = _Worker.start(devices[slot % len(devices)] if devices else None)
                self._workers[slot] = worker
            worker.take(order)

    def _next(self) -> _Order | None:
        assignment, bench = next(self._assignments, (None, None))
        if assignment is None or bench is None:
            return None
        return _Order(assignment, bench, dict(assignment.done))

    def _hear(self, seconds: float) -> None:
        """Tell the listener what the workers have said, after waiting for it for a while."""
        slots = {worker.pipe: slot for slot, worker in self._workers.items()}
        for pipe in wait(list(slots), seconds):
            slot = slots[pipe]  # type: ignore[index]
            try:
                self._message(self._workers[slot], *self._workers[slot].pipe.recv())
            except (EOFError, OSError):  # it has died, perhaps in the middle of a message
                self._lost(slot)

    def _message(self, worker: _Worker, kind: str, *content: Any) -> None:
        if kind == "hello":
            worker.greeted = True
            return
        order = worker.order
        assert order is not None, f"a worker without an assignment says {kind}"
        if kind == "began":
            worker.began = time.monotonic()
        elif kind == "progress":
            self._listener.progress(order.assignment, *content)
        elif kind == "trained":
            worker.began = time.monotonic()
            key, training = content
            order.done[key] = training
            self._listener.trained(order.assignment, key, training)
        else:
            worker.order = None
            if kind == "ended":
                self._listener.ended(order.assignment, *content)
            elif kind == "refused" and not self._stopping:
                raise content[0]

    def _lost(self, slot: int) -> None:
        """Give a dead worker's assignment to another, unless too many have died of it."""
        worker = self._workers.pop(slot)
        how, order = worker.end(), worker.order
        if order is None or self._stopping:
            return
        if not worker.greeted:
            raise StudyError(f"a worker process {how} before it could begin; its message is above")
        order.losses += 1
        if order.losses > RETRIES:
            times = f"{order.losses} times"
            self._listener.ended(order.assignment, f"worker lost: {how}, {times} in this training")
            return
        self._listener.note(
            f"{order.assignment.title}: its worker was {how}; it goes on in another"
        )
        self._again.append(order)

    def _give_up_overdue(self) -> None:
        """End workers that do not answer; a training that can still count ends by itself."""
        for slot, worker in list(self._workers.items()):
            if not worker.overdue(self._setting.grace):
                continue
            order = worker.order
            assert order is not None
            self._workers.pop(slot).kill()
            self._listener.ended(
                order.assignment,
                f"timeout: still at work {self._setting.grace:g} s after the "
                f"{order.bench.timeout:g} s allowed; its worker was killed",
            )

    def _halt(self) -> None:
        """Stop every training with its checkpoint; what ends on the way is still told."""
        self._stopping = True
        for worker in self._busy():
            worker.ask_to_stop()
        until = time.monotonic() + self._setting.grace
        while self._busy() and time.monotonic() < until:
            self._hear(TICK)
        for slot in list(self._workers):
            self._workers.pop(slot).kill()
