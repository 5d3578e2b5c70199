"""Companions of a training's steps: a log of them, and state that checkpoints keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import nn


class Log(Protocol):
    """A log of steps, kept in step with the checkpoint."""

    def keep(self, steps: int) -> None:
        """Drop what was logged of later steps, which will be taken again."""

    def add(self, *, step: int, visits: int, loss: float, accuracy: float, lr: float) -> None:
        """Log a step."""

    def sync(self) -> None:
        """Put what was logged on the disk: it has to be there before the checkpoint is."""


class Beside(Protocol):
    """State beside network and optimiser that checkpoints keep, such as an average of weights.

    It depends on the network's steps alone, so that an interrupted training goes on to the same
    bits.
    """

    def begin(self, network: nn.Module) -> None:
        """Step 0: the network has its first weights."""

    def stepped(self, network: nn.Module) -> None:
        """The optimiser has taken a step."""

    def epoch_ended(
        self, network: nn.Module, row: dict[str, float], stop: Callable[[], bool]
    ) -> None:
        """Add to the row of the curve; Interrupted, with nothing kept, once `stop` says so."""

    def finish(self, network: nn.Module) -> None:
        """Turn the network into the one that is tested and kept."""

    def state(self) -> dict[str, Any]:
        """The state as a checkpoint keeps it."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take what a checkpoint kept; the network has its weights of then."""
