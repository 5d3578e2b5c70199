"""Several candidates at a time on a Ray cluster: Ray Tune places them, the driver records them.

A study's assignments are the "suggestions" of a Searcher of ours, so that Tune gives each the
resources of a trial and begins it again where its worker was lost; nothing is proposed, scored or
kept by Tune. Tune is handed the path of a file: the study's folder has to be one that every machine
sees, and there a training's checkpoint waits for whoever goes on with it.
"""

from __future__ import annotations

import base64
import logging
import os
import pickle
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from expand3d.core.errors import ConfigError, StudyError, UserError
from expand3d.core.result import Interrupted, Training, TrainingKey
from expand3d.execute.base import RETRIES, Assignment, Assignments, Listener, Setting, reason_of
from expand3d.execute.ray_access import admitted

try:
    import ray
    from ray import tune
    from ray.tune.search import Searcher
except ImportError as error:
    raise ConfigError(f"executor = 'ray' needs Ray: pip install 'ray[tune]' ({error})") from None

#: Seconds between two reports of a training's progress; each waits for the driver.
REPORT = 2.0
#: Bytes of shared memory of a cluster that is started here: assignments travel as files.
OBJECT_STORE = 200 * 2**20
#: The key under which a message of ours travels in a Tune result.
MESSAGE = "message"
#: What Tune would otherwise do in a driver that has its own record and its own signals.
QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000",
}


class Ray:
    """The executor on a Ray cluster, at an address or started on this machine."""

    def __init__(self, setting: Setting) -> None:
        kinds = {device.partition(":")[0] for device in setting.devices or (setting.device,)}
        if len(kinds) > 1 or any(":" in device for device in setting.devices):
            raise ConfigError(
                f"devices = {','.join(setting.devices)!r} must be 'cpu' or 'cuda' for executor = "
                "'ray', which itself says which GPU a training gets"
            )
        self._setting = replace(setting, device=kinds.pop())
        self._mine = ExitStack()

    @property
    def _resources(self) -> dict[str, float]:
        """The CPUs and GPUs that Tune reserves for one training."""
        gpus = 1 if self._setting.device == "cuda" else 0
        return {"cpu": self._setting.threads, "gpu": gpus}

    def __enter__(self) -> Ray:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        if not ray.is_initialized():
            with _our_signals():
                self._connect()
        try:
            self._refuse_too_few()
        except BaseException:
            self._leave()
            raise
        return self

    def _connect(self) -> None:
        address = self._setting.address
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address is None:
            options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
        try:
            with ExitStack() as mine:
                ray.init(mine.enter_context(admitted(address)), **options)
                mine.callback(ray.shutdown)
                self._mine = mine.pop_all()
        except (OSError, RuntimeError, ValueError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ConfigError(f"address = {address!r} names no Ray cluster ({lines[0]})") from None

    def _refuse_too_few(self) -> None:
        """ConfigError where Tune would let trials wait for ever for what no node has."""
        need = self._resources
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        room = sum(
            min(int(node.get(key.upper(), 0) // amount) for key, amount in need.items() if amount)
            for node in nodes
        )
        if room < self._setting.workers:
            wanted = f"{need['cpu']:g} CPUs" + (" and a GPU" if need["gpu"] else "")
            has = [f"{sum(node.get(k, 0) for node in nodes):g} {k}s" for k in ("CPU", "GPU")]
            raise ConfigError(
                f"workers = {self._setting.workers}, each with {wanted}, do not fit the Ray "
                f"cluster, which has {' and '.join(has)} on {len(nodes)} nodes: at most {room} "
                "at a time; lower --workers or --threads"
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self._mine.close()

    def run(self, assignments: Assignments, listener: Listener, stop: Callable[[], bool]) -> None:
        """Answer every assignment as `Executor.run` says."""
        folder = self._setting.folder / "ray"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        batch = _Batch(folder, self._setting, assignments, listener, stop)
        looks = _Looks(batch)
        tuner = tune.Tuner(
            tune.with_resources(_trial, self._resources),
            tune_config=tune.TuneConfig(
                search_alg=batch,
                num_samples=-1,
                max_concurrent_trials=self._setting.workers,
                trial_dirname_creator=str,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder),
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                stop=looks,
                callbacks=[looks],
                verbose=0,
            ),
        )
        with _our_signals():
            tuner.fit()
        shutil.rmtree(folder, ignore_errors=True)
        if batch.error is not None:
            raise batch.error


class _InDriver:
    """Something that Tune keeps a copy of for its own restart, which we never ask for."""

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce__(self) -> Any:
        return object, ()


class _Batch(_InDriver, Searcher):
    """One call of `run`: gives Tune an assignment when it asks, and hears what came of it."""

    def __init__(
        self,
        folder: Path,
        setting: Setting,
        assignments: Assignments,
        listener: Listener,
        stop: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._folder, self._setting = folder, setting
        self._assignments, self._listener, self._stop = assignments, listener, stop
        self._live: dict[str, tuple[Path, Assignment]] = {}
        self._heard: dict[str, str] = {}
        self._stopped: float | None = None
        self.error: BaseException | None = None

    def suggest(self, trial_id: str) -> Any:
        """The file of the next assignment; FINISHED where there is none, or a stop is wished."""
        if self.error is not None or self.stopping():
            return Searcher.FINISHED
        try:
            assignment, bench = next(self._assignments, (None, None))
        except Exception as error:  # the record's; Tune would only log it
            self.end(error)
            assignment = None
        if assignment is None:
            return Searcher.FINISHED
        path = self._folder / f"{assignment.name}.assignment"
        self._live[trial_id] = path, assignment
        self._write(path, assignment, bench)
        return {"assignment": str(path)}

    def _write(self, path: Path, assignment: Assignment, bench: Any) -> None:
        content = pickle.dumps((assignment, bench, self._setting))
        partial = path.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(path)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._hear(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._hear(trial_id, result or {})
        _, assignment = self._live.pop(trial_id, (None, None))
        if assignment is not None and error and self._stopped is None:
            lost = f"worker lost {RETRIES + 1} times under Ray; out of memory, perhaps"
            self._guarded(self._listener.ended, assignment, lost)

    def lost(self, trial_id: str) -> None:
        """Tell the listener of a trial that Tune begins again."""
        _, assignment = self._live.get(trial_id, (None, None))
        if assignment is not None and self._stopped is None:
            text = f"{assignment.title}: its worker under Ray was lost; it goes on in another"
            self._guarded(self._listener.note, text)

    def _hear(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the listener what a trial says; Tune repeats the last message of a trial."""
        message = result.get(MESSAGE)
        if message is None or self._heard.get(trial_id) == message or trial_id not in self._live:
            return
        self._heard[trial_id] = message
        path, assignment = self._live[trial_id]
        _, kind, *content = pickle.loads(base64.b64decode(message))
        if kind == "trained":
            key, training = content
            # Where the trial has to begin again elsewhere, it begins after what it has.
            assignment = replace(assignment, done={**assignment.done, key: training})
            self._live[trial_id] = path, assignment
            _, bench, _ = pickle.loads(path.read_bytes())
            self._write(path, assignment, bench)
        if kind in ("ended", "refused"):
            self._live.pop(trial_id)
        if kind == "refused":
            self.end(content[0])
        elif kind != "interrupted":
            self._guarded(
                getattr(self._listener, kind), *self._arguments(kind, assignment, content)
            )

    @staticmethod
    def _arguments(kind: str, assignment: Assignment, content: list[Any]) -> list[Any]:
        return content if kind == "note" else [assignment, *content]

    def _guarded(self, tell: Callable[..., None], *arguments: Any) -> None:
        try:
            tell(*arguments)
        except Exception as error:  # the record's; Tune would take it for the trial's
            self.end(error)

    def end(self, error: BaseException) -> None:
        """Stop every trial; `error` is raised once they have."""
        self.error = self.error or error
        self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        if self._stopped is None:
            self._stopped = time.monotonic()
            (self._folder / "stop").touch()

    def stopping(self) -> bool:
        """True where trials are to stop now, or have been asked to."""
        if self._stopped is None and self._stop():
            self.end(Interrupted("stopped while Ray's workers trained"))
        return self._stopped is not None

    def overdue(self) -> bool:
        """True where trials have been asked to stop and had the time for it."""
        if not self.stopping() or self._stopped is None:
            return False
        return not self._live or time.monotonic() - self._stopped > self._setting.grace

    def save(self, checkpoint_path: str) -> None:
        """Write the file that Tune looks for; the record is the state."""
        Path(checkpoint_path).touch()


class _Looks(_InDriver, tune.Stopper, tune.Callback):
    """Tune's question, many times a second, whether to end; its word of what begins again."""

    def __init__(self, batch: _Batch) -> None:
        self._batch = batch

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._batch.overdue()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._batch.lost(trial.trial_id)


@contextmanager
def _our_signals() -> Iterator[None]:
    """Keep the driver's answers to signals, which Ray and Tune replace by their own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGUSR1", signal.SIGTERM)}
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _trial(config: dict[str, Any]) -> None:
    """The function that Tune runs where it likes: a worker process as of `processes`, its messages.

    The process in between ends a training that hangs and survives one that is killed, which the
    trial itself could not.
    """
    from expand3d.execute.processes import Processes

    path = Path(config["assignment"])
    tell = _Telling()
    try:
        assignment, bench, setting = _read(path)
        alone = replace(setting, workers=1, devices=(setting.device,))
        with Processes(alone) as executor:
            executor.run(iter([(assignment, bench)]), tell, _Flag(path.parent / "stop"))
    except Interrupted:
        tell.say("interrupted")
    except UserError as error:
        tell.say("refused", error)
    except Exception as error:  # or Tune would begin again what fails before it trains anything
        tell.say("refused", StudyError(f"a worker of the Ray cluster failed: {reason_of(error)}"))


def _read(path: Path) -> tuple[Assignment, Any, Setting]:
    try:
        assignment, bench, setting = pickle.loads(path.read_bytes())
    except OSError as error:
        raise StudyError(
            f"{path}: a machine of the Ray cluster cannot read it ({error.strerror}); --root must "
            "be a folder that every machine sees"
        ) from None
    return assignment, bench, setting


class _Flag:
    """A file that is there or not, looked at once a second at most."""

    def __init__(self, path: Path) -> None:
        self._path, self._looked, self._there = path, 0.0, False

    def __call__(self) -> bool:
        if not self._there and time.monotonic() - self._looked >= 1:
            self._looked, self._there = time.monotonic(), self._path.exists()
        return self._there


class _Telling:
    """A listener that says everything to the driver, by way of Tune's results."""

    def __init__(self) -> None:
        self._shown = 0.0

    def say(self, kind: str, *content: Any) -> None:
        # The time makes each message one of its own: Tune repeats some.
        message = pickle.dumps((time.time_ns(), kind, *content))
        tune.report({MESSAGE: base64.b64encode(message).decode()})

    def note(self, text: str) -> None:
        self.say("note", text)

    def progress(self, assignment: Assignment, progress: Any) -> None:
        if time.monotonic() - self._shown >= REPORT:
            self._shown = time.monotonic()
            self.say("progress", progress)

    def trained(self, assignment: Assignment, key: TrainingKey, training: Training) -> None:
        self.say("trained", key, training)

    def ended(self, assignment: Assignment, failure: str | None) -> None:
        self.say("ended", failure)
