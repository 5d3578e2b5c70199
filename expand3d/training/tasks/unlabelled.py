"""The common part of tasks that learn from clips without their labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Required, TypedDict, TypeVar

from torch import nn

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Plan, digest
from expand3d.core.recipe import Recipe
from expand3d.data.store import FRAMES, ClipStore
from expand3d.training.checkpoint import Checkpointer
from expand3d.training.loop import Loop, Stopping, Task
from expand3d.training.placement import place
from expand3d.training.progress import Progress, StepLog
from expand3d.training.step import Ended

N = TypeVar("N", bound=nn.Module)
B = TypeVar("B")
S = TypeVar("S")


@dataclass(frozen=True)
class Unlabelled:
    """A network, the clips that it learns from, and those that it is tested on."""

    plan: Plan
    store: ClipStore
    train: tuple[int, ...]
    held_out: tuple[int, ...]
    recipe: Recipe
    seed: int

    #: A step is one pass: what normalises by batch sees all of it.
    passes = 1

    @property
    def clips(self) -> int:
        return len(self.train)

    @property
    def test_views(self) -> int:
        return len(self.held_out)

    def belongs(self) -> dict[str, str]:
        """The digests in which two parts of one training agree."""
        store, parts = self.store, (self.train, self.held_out)
        return {
            "plan": self.plan.digest,
            "recipe": digest(self.recipe.to_json()),
            "seed": str(self.seed),
            "clips": digest([[store.keys[i] for i in part] for part in parts]),
            FRAMES: digest([[store.identities[i] for i in part] for part in parts]),
        }


@dataclass(frozen=True)
class Learned(Generic[S]):
    """The scores on held-out clips, and what they took."""

    scores: S
    clip_visits: int
    environment: Mapping[str, Any]
    notes: tuple[str, ...]


class How(TypedDict, total=False):
    """The files of a training without labels, where it runs, and who is told of it.

    `log` receives one JSON line per step. Where `checkpoint` is of the same task the training goes
    on from it, on a CPU bit for bit; it stays until the caller discards it. `stop` is asked between
    steps; `say` is told where it goes on.
    """

    log: Required[Path]
    checkpoint: Required[Path]
    checkpoint_seconds: float
    device: str
    threads: int | None
    stop: Callable[[], bool]
    on_progress: Callable[[Progress], None] | None
    say: Callable[[str], None]


@contextmanager
def trained(
    task: Task[N, B, S],
    *,
    log: Path,
    checkpoint: Path,
    checkpoint_seconds: float = 120.0,
    device: str = "cpu",
    threads: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] = lambda note: None,
    accuracy: str | None = "accuracy",
    beside: Sequence[nn.Module] = (),
) -> Iterator[tuple[Loop[N, B, S], S]]:
    """The loop of a task that is learned by now, and its scores; the keywords are those of `How`.

    The log calls the accuracy `accuracy`, None where clips are neither right nor wrong; modules
    `beside` the network go where it goes.
    Interrupted where `stop` says so, and the same call then goes on; ConfigError where the training
    diverges.
    """
    if task.recipe.smaller_first:
        raise ConfigError(
            f"multigrid = {task.recipe.multigrid!r} trains on smaller clips first, which trainings "
            "without labels do not; leave it out"
        )
    placement = place(task.recipe, device=device, threads=threads)
    with placement.active():
        for module in beside:
            placement.model(module)
        writer = Checkpointer(checkpoint, seconds=checkpoint_seconds)
        tell = on_progress if accuracy is not None else _without_accuracy(on_progress)
        stopping, steps = Stopping(stop, on_progress=tell), StepLog(log, accuracy=accuracy)
        run = Loop(task, placement, writer, stopping, log=steps)
        yield run, _scores(run, say)


def _without_accuracy(
    on_progress: Callable[[Progress], None] | None,
) -> Callable[[Progress], None] | None:
    if on_progress is None:
        return None
    return lambda progress: on_progress(dataclasses.replace(progress, accuracy=None))


def facts(run: Loop[N, Any, Any]) -> dict[str, Any]:
    """The facts of a training beside its scores, as `Learned` has them."""
    environment, notes = run.placement.environment(), tuple(run.notes)
    return {"clip_visits": run.visits, "environment": environment, "notes": notes}


def _scores(run: Loop[N, Any, S], say: Callable[[str], None]) -> S:
    """The scores of the held-out clips, once the rest of the training is done.

    `say` is told where it goes on. ConfigError where it diverges.
    """
    run.resume()
    for note in run.notes:
        say(note)
    if 0 < run.step < run.steps:
        say(f"goes on after step {run.step} of {run.steps}")
    try:
        run.fit()
        return run.test()
    except Ended as ended:
        lr = run.recipe.lr
        raise ConfigError(f"lr = {lr:g} is too much: {ended}; try {lr / 10:g}") from None
