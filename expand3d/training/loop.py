"""The training loop: it begins, resumes, steps, saves and tests, whatever the `Task` is."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer

from expand3d.core.recipe import Recipe
from expand3d.core.result import Interrupted
from expand3d.data.frames import derived_seed
from expand3d.training import checkpoint as checkpoints
from expand3d.training.averaged import Averaged
from expand3d.training.batches import ahead
from expand3d.training.beside import Beside, Log
from expand3d.training.finite import require_finite
from expand3d.training.peers import ALONE, Peers
from expand3d.training.placement import Placement
from expand3d.training.precise_norm import precise_passes, reestimate
from expand3d.training.progress import Meter, Phase, Progress, Reporter
from expand3d.training.step import Ended, Pass, forward_backward, lr_at, set_lr

N = TypeVar("N", bound=nn.Module)
B = TypeVar("B")
S = TypeVar("S", covariant=True)


class Task(Protocol[N, B, S]):
    """A thing to learn: a network N from batches B, whose test gives scores S.

    A task holds no state. All it returns depends on its own values and its arguments alone, so
    that a training which was interrupted goes on to the same bits.
    """

    @property
    def recipe(self) -> Recipe:
        """Length, batch, learning rate and the like."""

    @property
    def seed(self) -> int:
        """The seed of weights, batches and dropout."""

    @property
    def clips(self) -> int:
        """Number of training clips; an epoch visits each of them once."""

    @property
    def passes(self) -> int:
        """Forward passes of one step; BatchNorm sees each by itself."""

    @property
    def test_views(self) -> int:
        """Views that the test reads."""

    def belongs(self) -> dict[str, str]:
        """Digests in which a checkpoint must agree to be continued, by their names in a note."""

    def build(self) -> N:
        """A new network, its weights drawn from torch's random state."""

    def optimiser(self, network: N) -> Optimizer:
        """The optimiser of the parameters that learn; the loop sets its learning rate."""

    def batch(self, number: int) -> B:
        """The clips of pass `number`, counted from 0 over the whole training."""

    def forward(self, network: N, batch: B, placement: Placement) -> Pass:
        """The loss of one pass, from which gradients can be taken."""

    def test(
        self,
        network: N,
        placement: Placement,
        *,
        tell: Callable[[int, float], None],
        notes: list[str],
    ) -> S:
        """The scores of the trained network, which is in eval mode.

        `tell` takes the views done and the accuracy so far, and may raise what ends the training.
        `notes` takes what was adjusted on the way.
        """


@dataclass(frozen=True)
class Stopping:
    """The ways in which a training may end early, and the listener that is told how it goes.

    `stop` is asked between batches; `timeout` is in seconds, kept across resumes. `until` is a
    number of clip visits after which this call has trained enough, None for all of the recipe's.
    """

    stop: Callable[[], bool] = lambda: False
    timeout: float | None = None
    until: int | None = None
    on_progress: Callable[[Progress], None] | None = None


class Loop(Generic[N, B, S]):
    """The changing state of one training; `step` counts the optimiser's steps done.

    To be used where the placement is active: `resume`, then `fit`, then `test`. `steps` is the
    number of the whole recipe, by which the learning rate goes; `last` is where this call ends.
    `trunk` is where a branch leaves, whose steps a later call does not go on from; else it is
    `last`.
    `look` is called between batches. `notes` say what was adjusted on the way; `curve` has a row
    per epoch.
    """

    def __init__(
        self,
        task: Task[N, B, S],
        placement: Placement,
        writer: checkpoints.Checkpointer,
        stopping: Stopping,
        look: Callable[[], None] = lambda: None,
        *,
        log: Log | None = None,
        beside: Beside | None = None,
        peers: Peers = ALONE,
    ) -> None:
        self.task, self.recipe, self.placement = task, task.recipe, placement
        self.writer, self.stopping, self.look, self.log = writer, stopping, look, log
        self.beside, self.peers = beside, peers
        #: True where each pass draws its dropout by itself, whichever process takes it.
        self.by_pass = beside is not None or peers is not ALONE
        self.steps = self.recipe.steps_for(task.clips)
        self.last = self.steps
        if stopping.until is not None:
            self.last = min(self.steps, math.ceil(stopping.until / self.recipe.batch))
        self.trunk = self.recipe.trunk(self.last)
        # The last batch may run over the end of what the recipe asks for.
        visits = min(self.last * self.recipe.batch, self.recipe.visits_for(task.clips))
        self._epochs = math.ceil(visits / task.clips)
        self.notes: list[str] = []
        self._started = time.monotonic()
        self._begin()

    def _begin(self) -> None:
        """Step 0: weights drawn from the seed."""
        torch.manual_seed(derived_seed("weights", self.task.seed))
        self.network = self.task.build()
        self.placement.model(self.network)
        self.optimiser = self.task.optimiser(self.network)
        self.step = 0
        self.curve: list[dict[str, float]] = []
        self.meter = Meter()
        self.waited = self.tested = 0.0
        self._seconds_before = 0.0
        if self.beside is not None:
            self.beside.begin(self.network)
        self.averaged = Averaged() if self.recipe.anneal == "average" else None
        #: Steps of the branches so far, by the step at which each was tested.
        self.branches: dict[int, int] = {}
        self._left: dict[str, Any] | None = None

    @property
    def visits(self) -> int:
        """Clip visits so far, of the weights as they are."""
        return self.step * self.recipe.batch

    @property
    def taken(self) -> tuple[range, ...]:
        """The steps so far, those of earlier branches included."""
        others = (item for item in self.branches.items() if item[0] != self.last)
        return range(self.step), *(range(last - steps, last) for last, steps in others)

    def seconds(self) -> float:
        """Time spent on this training so far, earlier processes included."""
        return self._seconds_before + time.monotonic() - self._started

    def _epoch(self) -> int:
        """The epoch, from 1, that the last clip visit fell into; at most the last wanted one."""
        return min((self.visits - 1) // self.task.clips + 1, self._epochs)

    def _reporter(self, phase: Phase, *, done: int, total: int) -> Reporter:
        epochs = self._epochs
        return Reporter(self.stopping.on_progress, phase, epochs=epochs, done=done, total=total)

    # Checkpoints

    def _state(self) -> dict[str, Any]:
        more: dict[str, Any] = {}
        if self.recipe.anneal == "branch":
            more["branches"] = self.branches
        if self.averaged is not None:
            more["averaged"] = self.averaged.state
        return {
            **more,
            "belongs": self.task.belongs(),
            "environment": self.placement.environment(),
            "model": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds(),
            "waited": self.waited,
            "curve": self.curve,
            "epoch": dataclasses.asdict(self.meter),
            "notes": self.notes,
            **({} if self.beside is None else {"beside": self.beside.state()}),
        }

    def _save(self) -> None:
        if not self.peers.first:
            return
        if self.log is not None:
            self.log.sync()
        state = self._state()
        if self._left is not None:  # a branch is thrown away
            spent = {key: state[key] for key in ("seconds", "waited", "branches", "notes")}
            state = {**self._left, **spent}
        note = self.writer.write(state)
        if note and note not in self.notes:
            self.notes.append(note)

    def resume(self) -> None:
        """Continue from the checkpoint where there is one that fits."""
        path = self.writer.path
        state, note = checkpoints.load(path, belongs=self.task.belongs())
        if state is not None:
            try:
                self._restore(state)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                assert path is not None
                why = checkpoints.first_line(error)
                note = f"checkpoint {path.name} ignored: of another version ({why})"
                self._begin()
        if note:
            self.notes.append(note)
        if self.log is not None:
            self.log.keep(self.step)

    def _restore(self, state: dict[str, Any]) -> None:
        if "learning" in state:  # supervision transfer once kept less, under this name
            state = {"model": state["learning"], "epoch": {}, "curve": [], "seconds": 0.0, **state}
        meter = Meter(**state["epoch"])
        self.network.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        environment = self.placement.environment()
        notes = [*state["notes"], *checkpoints.exactness_notes(environment, state["environment"])]
        self.notes = list(dict.fromkeys(notes))
        self.meter, self.step, self.curve = meter, state["step"], state["curve"]
        self._seconds_before, self.waited = state["seconds"], state.get("waited", 0.0)
        if self.beside is not None:
            self.beside.restore(state["beside"])
        self.branches = dict(state.get("branches", {}))
        if self.averaged is not None:
            self.averaged = Averaged(state["averaged"])

    # Training

    def fit(self) -> None:
        """Train to step `last` and save; Interrupted or Ended where that is not to be.

        Ended too, as diverged, where a weight is no finite number in the end, whatever the loss.
        """
        passes, total = self.task.passes, self.last * self.recipe.batch
        self.peers.agree(self.step)
        self.network.train()
        reporter = self._reporter("train", done=self.visits, total=total)
        left = self.peers.own(range(self.step * passes, self.last * passes), passes)
        own = len(left) // max(1, self.last - self.step)
        workers = self.placement.loader_threads
        with closing(ahead(self.task.batch, left, workers=workers)) as batches:
            while self.step < self.last:
                self._check_limits()
                if self.step == self.trunk:
                    self._left = copy.deepcopy(self._state())
                lr = lr_at(self.step, steps=self.steps, recipe=self.recipe, last=self.last)
                asked = time.monotonic()
                chosen = [next(batches) for _ in range(own)]
                self.waited += time.monotonic() - asked
                self._one_step(chosen, lr)
                epoch, loss, accuracy = self._epoch(), self.meter.loss, self.meter.accuracy
                reporter.tell(self.visits, epoch=epoch, accuracy=accuracy, loss=loss, lr=lr)
                epoch_end = self._close_epoch(lr)
                due = self._left is None and self.writer.due(epoch_end=epoch_end)
                if due or self.step in (self.trunk, self.last):
                    self._save()
        require_finite(self.network)
        if self.recipe.anneal != "cosine" or self.recipe.smaller_first:
            self._settle()

    def _settle(self) -> None:
        """Make the network what is tested: the average, and BatchNorm's statistics taken anew."""
        if self.averaged is not None:
            self.averaged.put(self.network)
        count = precise_passes(self.recipe)
        # Past the end all clips are whole, which the last ones need not have been.
        end = self.steps * self.task.passes + count
        if not self.recipe.smaller_first:
            end = self.step * self.task.passes
        forward = partial(self.task.forward, placement=self.placement)
        batches = (self.task.batch(number) for number in range(max(0, end - count), end))
        reestimate(self.network, batches, forward)

    def _one_step(self, batches: list[B], lr: float) -> None:
        # Dropout is a function of (seed, step), so that no random state has to be carried over.
        torch.manual_seed(derived_seed("step", self.task.seed, self.step))
        set_lr(self.optimiser, lr)
        self.optimiser.zero_grad(set_to_none=True)
        forward = partial(self.task.forward, self.network, placement=self.placement)
        passes, found = self.task.passes, []
        numbers = self.peers.own(range(self.step * passes, (self.step + 1) * passes), passes)
        self.peers.before(self.network)
        for number, batch in zip(numbers, batches, strict=True):
            if self.by_pass:
                torch.manual_seed(derived_seed("pass", self.task.seed, number))
            found.append(forward_backward(forward, batch, share=1 / passes))
            self.peers.passed(self.network)
        shown = self.peers.joined(self.network, found)
        for loss, correct in shown:
            if not math.isfinite(loss):
                raise Ended(
                    "diverged", f"the loss became {loss} at step {self.step + 1}/{self.steps}"
                )
            self.meter.add(loss=loss, correct=correct, clips=self.recipe.batch // passes)
        self.optimiser.step()
        self.step += 1
        if self.beside is not None:
            self.beside.stepped(self.network)
        if self.averaged is not None:
            self.averaged.add(self.network, self.step)
        if self.step > self.trunk:
            self.branches[self.last] = self.step - self.trunk
        if self.log is not None:
            self.log.add(
                step=self.step,
                visits=self.visits,
                loss=sum(each.loss for each in shown) / len(shown),
                accuracy=sum(each.correct for each in shown) / self.recipe.batch,
                lr=lr,
            )

    def _close_epoch(self, lr: float) -> bool:
        """True where this step ended an epoch; the curve has one row more."""
        clips = self.task.clips
        before = (self.visits - self.recipe.batch) // clips
        if self.visits // clips == before and self.step < self.steps:
            return False
        row = {
            # A batch that ends an epoch may have begun the next one.
            "epoch": self._epochs if self.step == self.steps else self.visits // clips,
            "loss": self.meter.loss,
            "accuracy": self.meter.accuracy,
            "lr": lr,
        }
        if self.beside is not None:
            self.beside.epoch_ended(self.network, row, self.stopping.stop)
        self.curve.append({**row, "seconds": round(self.seconds(), 3)})
        self.meter = Meter()
        return True

    def _check_limits(self, *, save: bool = True) -> None:
        """Asked between batches: Interrupted where a stop is wished, Ended past the time-out."""
        self.look()
        if self.peers.any(self.stopping.stop()):
            if save:
                self._save()
            raise Interrupted(f"stopped at step {self.step}/{self.steps}")
        if self.stopping.timeout is not None and self.seconds() > self.stopping.timeout:
            raise Ended(
                "timeout",
                f"{self.seconds():.0f} s spent of {self.stopping.timeout:g} s allowed, "
                f"at step {self.step}/{self.steps}",
            )

    # Testing

    def test(self) -> S:
        """The scores of the test; repeatable, so a killed test is simply run again."""
        reporter = self._reporter("test", done=0, total=self.task.test_views)

        def tell(done: int, accuracy: float) -> None:
            reporter.tell(done, epoch=self._epochs, accuracy=accuracy)
            # All is saved; the weights that are tested may not be those that a training goes on.
            self._check_limits(save=False)

        self.peers = ALONE  # the others have ended
        if self.beside is not None:
            self.beside.finish(self.network)
        self.network.eval()
        started = time.monotonic()
        try:
            return self.task.test(self.network, self.placement, tell=tell, notes=self.notes)
        finally:
            self.tested = time.monotonic() - started
