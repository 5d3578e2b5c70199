"""The time spent on a study: a total over all its processes, whatever became of them.

Each session writes down its own seconds every now and then, so that those of a killed one count
too, and the time of trainings that it did not finish.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from expand3d.core.errors import StudyError
from expand3d.core.trial import Trial
from expand3d.study.record import Record

#: Seconds between two writes at most, and how many writes a time limit has at least.
OFTEN, WRITES = 5.0, 20


class WorkTime:
    """The seconds of one session, kept in the record, beside those of the sessions before it."""

    def __init__(
        self, record: Record, session: int, *, part: str, before: float, limit: float | None
    ) -> None:
        self._record, self._session, self._part = record, session, part
        self._limit = limit
        earlier = [kept for kept in record.worked() if kept["part"] == part]
        # The seconds that an earlier version spent are in the first part that counts its own.
        self._before = before if not earlier else 0.0
        self._spent = self._before + sum(kept["before"] + kept["seconds"] for kept in earlier)
        self._every = OFTEN if limit is None else min(OFTEN, limit / WRITES)
        self._started = self._kept = time.monotonic()
        self.keep()

    @property
    def overdue(self) -> bool:
        """True where all sessions together have taken longer than the time limit."""
        return self._limit is not None and self._spent + self._seconds() > self._limit

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """Time in which the session only waits for others does not count."""
        waits = time.monotonic()
        try:
            yield
        finally:
            self._started += time.monotonic() - waits

    def tick(self) -> None:
        """Write down the seconds so far where the last time is a while ago."""
        if time.monotonic() - self._kept >= self._every:
            try:
                self.keep()
            except StudyError:  # what stands on it is said where a result cannot be written
                self._kept = time.monotonic()

    def keep(self) -> None:
        """Write down the seconds so far."""
        self._kept = time.monotonic()
        value = {"part": self._part, "before": self._before, "seconds": round(self._seconds(), 3)}
        self._record.put_worked(self._session, value)

    def _seconds(self) -> float:
        return time.monotonic() - self._started


def trained_seconds(trials: Sequence[Trial]) -> float:
    """Seconds that finished trainings took, in records whose sessions do not count theirs."""
    return sum(trial.seconds / int(trial.provenance.get("workers", 1)) for trial in trials)
