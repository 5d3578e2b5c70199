"""TensorBoard's files of a training, and several logs as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from expand3d.core.errors import ConfigError
from expand3d.training.beside import Log


class Board:
    """Steps and epochs as TensorBoard's events in a folder; ConfigError without its package."""

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ConfigError(
                "TensorBoard's logs need tensorboardX: pip install 'expand3d[tensorboard]'"
            ) from None
        self._writer = SummaryWriter(str(folder), write_to_disk=True)
        self._step = 0

    def keep(self, steps: int) -> None:
        # Older files stay as they are: events of the same step are drawn over each other.
        self._step = steps

    def add(self, *, step: int, visits: int, loss: float, accuracy: float, lr: float) -> None:
        self._step = step
        for name, value in (("loss", loss), ("accuracy", accuracy), ("lr", lr)):
            self._writer.add_scalar(f"train/{name}", value, step)

    def epoch(self, row: Mapping[str, float]) -> None:
        """Log a row of the curve under the last step."""
        for name, value in row.items():
            self._writer.add_scalar(f"epoch/{name}", value, self._step)

    def sync(self) -> None:
        self._writer.flush()


class Logs:
    """Several logs as one."""

    def __init__(self, logs: Sequence[Log]) -> None:
        self._logs = logs

    def keep(self, steps: int) -> None:
        for log in self._logs:
            log.keep(steps)

    def add(self, *, step: int, visits: int, loss: float, accuracy: float, lr: float) -> None:
        for log in self._logs:
            log.add(step=step, visits=visits, loss=loss, accuracy=accuracy, lr=lr)

    def sync(self) -> None:
        for log in self._logs:
            log.sync()
