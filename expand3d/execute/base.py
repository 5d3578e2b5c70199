"""The protocol of an executor: it answers assignments, and tells a listener what comes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from expand3d.core.result import Training, TrainingKey
from expand3d.core.trial import Candidate
from expand3d.execute.evaluate import Bench
from expand3d.networks.weights.initial import Initial
from expand3d.study.weights import WeightStore

if TYPE_CHECKING:
    from expand3d.training.progress import Progress

#: How often an assignment is begun again whose worker was lost, before its trial fails.
RETRIES = 2
#: Seconds between two looks at whether a stop is wished.
TICK = 0.2
#: The function that answers an assignment: it takes and yields what `evaluate` there does.
EVALUATE = "expand3d.execute.evaluate:evaluate"


@dataclass(frozen=True)
class Setting:
    """The way in which the candidates of a run are trained side by side.

    `folder` is the study's. `workers` trainings go on at the same time, each with `threads` CPU
    threads on `device`, or on `devices` that go round among the workers. `address` is a Ray
    cluster's. `grace` is how many seconds a worker has to stop, or to give up by itself on a
    training whose time is over, before it is killed.
    """

    folder: Path
    workers: int = 1
    threads: int = 1
    device: str = "cpu"
    devices: tuple[str, ...] = ()
    address: str | None = None
    grace: float = 60.0


@dataclass(frozen=True)
class Assignment:
    """One begun trial: `number` None stands for the winner's last training.

    `done` are the trainings that the record has. A training's checkpoint lies in `checkpoints`;
    `weights` receives the trained weights; `kept` does of every training, where others begin with
    them. `inherited` are the weights that its own begin with, by key. `identity` is what the bench
    must make of the plan, wherever it is rebuilt. `visits` is the number of clip visits after which
    its trainings are tested and wait, None where they end with the recipe. `evaluate` names the
    function that answers it.
    """

    number: int | None
    candidate: Candidate
    done: Mapping[TrainingKey, Training]
    checkpoints: Path
    identity: str
    weights: Path | None = None
    visits: int | None = None
    evaluate: str = EVALUATE
    kept: WeightStore | None = None
    inherited: tuple[tuple[TrainingKey, Initial], ...] = ()

    @property
    def name(self) -> str:
        """The name that the assignment's files begin with."""
        return f"final-{self.candidate.digest}" if self.number is None else str(self.number)

    @property
    def title(self) -> str:
        """The assignment's name for people."""
        return "the winner's last training" if self.number is None else f"trial {self.number}"

    def weights_of(self, key: TrainingKey) -> Path | None:
        """The file that receives the weights of a training; None where nobody wants them."""
        if self.kept is None or self.number is None:
            return self.weights
        return self.kept.path(self.number, key)

    def checkpoint(self, key: TrainingKey) -> Path:
        """The file in which a training keeps its state, whatever its visits."""
        return self.checkpoints / f"{self.name}-{key.file_name}.pt"


#: Assignments with what each is trained on; a trial begins when its assignment is asked for.
Assignments = Iterator[tuple[Assignment, Bench]]


class Listener(Protocol):
    """A receiver of news; all calls come from the thread that called `run`."""

    def note(self, text: str) -> None:
        """Something that people should know, such as a worker that was lost."""

    def progress(self, assignment: Assignment, progress: Progress) -> None:
        """A training goes on; `progress` says how far it is."""

    def trained(self, assignment: Assignment, key: TrainingKey, training: Training) -> None:
        """One training of the assignment has ended; told once per key."""

    def ended(self, assignment: Assignment, failure: str | None) -> None:
        """Nothing is left to do for it; `failure` is why, where trainings are missing."""


class Executor(AbstractContextManager["Executor"], Protocol):
    """Runs assignments, for as long as its context is open."""

    def run(self, assignments: Assignments, listener: Listener, stop: Callable[[], bool]) -> None:
        """Answer every assignment, begun in their order.

        A candidate that breaks is told as `ended` with its reason. Raises Interrupted once `stop`
        is true, when every training has stopped with its checkpoint on disk; a UserError of a
        worker is raised here in the same way.
        """
        ...


def reason_of(error: BaseException) -> str:
    """The reason why a candidate has no score, in one line, from what its training raised."""
    lines = str(error).strip().splitlines()
    what = "out of memory" if isinstance(error, MemoryError) else type(error).__name__
    return f"{what}: {lines[0]}" if lines else what
