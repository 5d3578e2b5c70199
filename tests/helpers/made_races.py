"""A record in memory whose trainings are made, to be driven by strategies that race."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from expand3d.core.result import Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.search.strategy import Batch, Strategy, drive


class Killed(Exception):
    """The process was killed at a turn."""


@dataclass
class MadeRecord:
    """Trials of what `made` gives for a candidate and its visits, None for a whole training.

    A training begins at one turn and is recorded at the next; a stop is one turn. After `turns` of
    them the process is killed.
    """

    made: Callable[[Candidate, int | None], Training]
    trials: list[Trial] = field(default_factory=list)
    turns: int | None = None

    def _turn(self) -> None:
        if self.turns is not None:
            if self.turns == 0:
                raise Killed
            self.turns -= 1

    def _put(self, candidate: Candidate, visits: int | None) -> None:
        at = next((n for n, t in enumerate(self.trials) if t.candidate == candidate), None)
        if at is None:
            self._turn()
            at = len(self.trials)
            self.trials.append(Trial(at, "running", candidate, {"macs": candidate.macs}))
        self._turn()
        trial = self.trials[at]
        assert trial.state == "running"
        key = TrainingKey(0, candidate.repeat or 0).until(visits)
        run = self.made(candidate, visits)
        ended = replace(trial, trainings={**trial.trainings, key: run})
        if run.status != "ok":
            ended = replace(ended, state="failed", reason=run.reason)
        elif visits is None:
            ended = replace(ended, state="complete")
        else:
            ended = replace(ended, reached=visits)
        self.trials[at] = ended

    def answer(self, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            self._put(candidate, None)

    def advance(self, candidates: Sequence[Candidate], visits: int) -> None:
        for candidate in candidates:
            self._put(candidate, visits)

    def stop(self, candidates: Sequence[Candidate], reason: str) -> None:
        for candidate in candidates:
            self._turn()
            at = next(n for n, t in enumerate(self.trials) if t.candidate == candidate)
            assert self.trials[at].state == "running"
            self.trials[at] = replace(self.trials[at], state="stopped", reason=reason)

    def run(self, strategy: Strategy, watch: Callable[[Batch], None] = lambda _: None) -> None:
        drive(
            strategy,
            lambda: self.trials,
            self.answer,
            watch,
            advance=self.advance,
            stop=self.stop,
        )
