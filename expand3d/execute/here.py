"""One candidate after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType

from expand3d.core.errors import ConfigError
from expand3d.core.result import Interrupted
from expand3d.execute.base import Assignments, Listener, Setting
from expand3d.execute.child import answer


class Here:
    """The executor without other processes; it cannot end a training that hangs."""

    def __init__(self, setting: Setting) -> None:
        if setting.workers > 1:
            raise ConfigError(
                f"workers = {setting.workers} needs executor = 'processes' or 'ray'; "
                "'here' trains one network at a time"
            )

    def __enter__(self) -> Here:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing was opened."""

    def run(self, assignments: Assignments, listener: Listener, stop: Callable[[], bool]) -> None:
        """Answer every assignment as `Executor.run` says."""
        for assignment, bench in assignments:
            if stop():
                raise Interrupted("stopped between two candidates")
            failure = answer(
                assignment,
                bench,
                stop=stop,
                on_progress=partial(listener.progress, assignment),
                on_training=partial(listener.trained, assignment),
            )
            listener.ended(assignment, failure)
