"""One of many workers of a study: it trains what nobody else has claimed, until nothing is left.

There is no driver. Each worker reads the record, asks the strategy, and claims one of the networks
that come next; what a strategy proposes depends on the record alone, so all of them get the same
answer. Who holds a claim is the only one that writes its trial.
"""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from expand3d.core.errors import StudyError
from expand3d.core.result import Interrupted
from expand3d.core.trial import Candidate
from expand3d.data.contents import Contents
from expand3d.data.source import place_of, resolve_source
from expand3d.execute.base import RETRIES
from expand3d.run.driver import NOT_ASKED_FOR, Expanding
from expand3d.run.events import Watch
from expand3d.run.inherit import refuse_apart
from expand3d.run.prepare import Prepared
from expand3d.run.runner import Outcome, create_record, executor, new_study, prepared_again
from expand3d.search.strategies import strategy_from_json
from expand3d.search.strategy import Batch, Measure, Stop, answers, ending
from expand3d.study.catalog import FINISHED, elsewhere
from expand3d.study.changes import check_resume, continued
from expand3d.study.claims import DRIVER, PATIENCE_SECONDS, WORKER, Claim, ClaimLost
from expand3d.study.config import StudyConfig
from expand3d.study.lock import holder
from expand3d.study.record import STRATEGY, Record

#: Seconds between two looks at what the others are doing.
LOOK = 1.0
#: The claim on the winner's last training, and how those on networks begin.
LAST = "final"
NETWORK = "network/"
#: The claim on the right to add a session.
SESSION = "session"


def create_study(config: StudyConfig, *, watch: Watch | None = None) -> str:
    """The name of a new study that nobody trains yet; StudyError where the name is taken."""
    watch = watch or Watch()
    with new_study(config, watch) as ready:
        return create_record(ready).name


def join_study(
    name: str,
    *,
    root: str | Path = "studies",
    storage: str | None = None,
    changes: Mapping[str, Any] | None = None,
    patience: float = PATIENCE_SECONDS,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Take part in a study until it is finished, beside any number of other workers.

    `changes` are keys that differ on this machine: where the data lies, the device, the threads.
    Without the videos, the clips in its cache will do where the record is in a shared storage.
    After `patience` seconds without a sign of life the others take this worker for dead and go on
    with what it was training. StudyError where a driver runs the study.
    """
    watch = watch or Watch()
    record = Record.open(name, root=root, storage=storage)
    record.folder.make()
    record.claims.patience = patience
    try:
        with record.claims.signs_of_life(), _present(record):
            ready = _prepared(record, root=root, changes=changes or {}, watch=watch)
            with executor(ready) as here:
                return _Worker(record, ready, here, watch, stop).go()
    except ClaimLost as lost:  # before its session began
        raise StudyError(f"study {name!r} was taken over: {lost}") from None


@contextmanager
def _present(record: Record) -> Iterator[None]:
    """This worker is known to drivers and other workers; StudyError where there is a driver."""
    with record.claims.holding(f"{WORKER}{record.claims.owner}"):
        # Only now: a driver that starts at the same moment sees us, or we see it.
        driver = next((c.text for c in elsewhere(record) if c.name == DRIVER), None)
        if session := holder(record.folder):
            driver = f"process {session.pid} on {session.host} (started {session.started})"
        if driver:
            raise StudyError(
                f"study {record.name!r} is being run by {driver}; workers can join when that one "
                "has stopped"
            )
        record.refresh()
        yield


def _prepared(
    record: Record, *, root: str | Path, changes: Mapping[str, Any], watch: Watch
) -> Prepared:
    """The study, prepared here; StudyError where workers cannot do what it needs."""
    before = record.config()
    if strategy_from_json(record.attribute(STRATEGY), known=record.latency).price.clock:
        raise StudyError(
            f"study {record.name!r} limits latency, which is measured on one machine while nothing "
            "else runs; use expand3d resume"
        )
    refuse_apart(record)
    if before.confirm:
        watch.note("confirm = true is for expand3d resume, once the workers are done")
    if before.time_limit is not None:
        watch.note(f"time_limit = {before.time_limit} is for expand3d run; stop workers yourself")
    alone = {"executor": "here", "workers": None, "devices": (), "time_limit": None}
    config = continued(before, {"root": str(root), **alone, **changes})
    check_resume(before, config)
    contents = None
    source = str(resolve_source(config.data, say=watch.note))
    if "data" not in changes and not place_of(source).exists():
        kept = record.contents()
        contents = Contents.from_json(kept) if kept else None
    if contents:
        watch.note(f"{config.data} is not here: clips come from this machine's cache, by content")
    strategy, ready = prepared_again(record, config, watch, contents)
    return dataclasses.replace(ready, strategy=strategy)


#: What a worker may do next, by the name of the claim that it needs.
Works = Mapping[str, Callable[[], None]]


def _claim(candidate: Candidate) -> str:
    return f"{NETWORK}{candidate.digest}"


def _lost(times: int) -> str:
    return f"{times} workers in a row died with it"


class _Worker(Expanding):
    """A part of the search, and of the winner's last training, beside others'."""

    #: What was said of the batch, of how many steps, and of having to wait.
    _note: str | None = None
    _shown = 0
    _waited = False

    def go(self) -> Outcome:
        return self.session()  # not alone

    def begin_session(self) -> int:
        with self.record.claims.turn(SESSION):
            self.record.refresh()
            return super().begin_session()

    def stop(self) -> bool:
        if self.record.claims.doubtful:
            self.record.claims.prove()  # raises where the claim is gone, and the training with it
        return super().stop()

    def work(self) -> str:
        while True:
            try:
                # Before reading: what ends after this look is noticed while waiting.
                before = self.record.claims.everyone()
                self.record.refresh()
                self.record.settle()
                todo = self._todo()
                if not todo and self.untrained_winner() is None:
                    return FINISHED
                if not self._take_one(todo, before):
                    self._wait(before)
            except ClaimLost as lost:
                if not self._known():  # a driver has taken the study
                    raise
                self.watch.note(f"{lost}; this worker goes on with other networks")

    def _known(self) -> bool:
        claims = self.record.claims
        return claims.held(f"{WORKER}{claims.owner}")

    def _todo(self) -> Works:
        """The work that may be done now by the claim that it needs, that of others included."""
        trials = self.record.trials()
        self._shown = self.tell_decisions(self._shown)
        asked = self.ready.strategy.ask(trials)
        assert not isinstance(asked, Measure), "refused before the worker began"
        if isinstance(asked, Stop):
            late = ending(asked, trials)
            return {_claim(c): partial(self.stop_early, c, asked.reason) for c in late}
        if isinstance(asked, Batch):
            wanted, known = asked.candidates, answers(trials, asked.visits)
            if asked.note != self._note:
                self._note = asked.note
                self.watch.step(wanted, [known[c.digest] for c in wanted if c.digest in known])
            missing = (c for c in wanted if c.digest not in known)
            return {_claim(c): partial(self._train, c, asked.visits) for c in missing}
        return {
            _claim(t.candidate): partial(self.stop_early, t.candidate, NOT_ASKED_FOR)
            if t.reached
            else partial(self._train, t.candidate, None)
            for t in self.left_over()
        }

    def _take_one(self, todo: Works, before: tuple[Claim, ...]) -> bool:
        """Do one thing, or else train the winner, that nobody has claimed; False where all are.

        `before` are the claims as they stood before the record was read.
        """
        dead = {claim.name: claim for claim in before if not claim.alive}
        for name, work in (todo or {LAST: self._last}).items():
            if self.stop():
                raise Interrupted("stopped between two networks")
            with self.record.claims.holding(name) as taken:
                if not taken:
                    continue
                if name in dead:
                    self.watch.note(f"taken over from {dead[name].text}, which is dead")
                self._waited = False
                self.record.refresh()  # it may have been answered before the claim was free
                work()
                return True
        return False

    def _train(self, candidate: Candidate, visits: int | None) -> None:
        if candidate.digest in answers(self.record.trials(), visits):
            return
        lost = self.record.claims.losses(_claim(candidate))
        begun = self.record.running(candidate.digest)
        if lost > RETRIES and begun is not None:  # it may well be what they died of
            self.watch.finished(self.record.finish(begun.number, "failed", _lost(lost)))
        else:
            self.answer([candidate], visits)

    def _last(self) -> None:
        if (lost := self.record.claims.losses(LAST)) > RETRIES:
            raise StudyError(f"the winner's last training: {_lost(lost)}")
        if self.untrained_winner() is not None:
            self.train_winner()
            self.watch.note(f"weights: {self.record.folder.weights} on {socket.gethostname()}")

    def _wait(self, before: tuple[Claim, ...]) -> None:
        """Until the claims are not what they were `before`: somebody has finished, or died."""
        if not self._waited:
            self.watch.note("nothing is free: waiting for other workers")
        self._waited = True
        assert self.time is not None, "waits only in its session"
        with self.time.left_out():
            self._until_changed(before)

    def _until_changed(self, before: tuple[Claim, ...]) -> None:
        while self._standing(self.record.claims.everyone()) == self._standing(before):
            if self.stop():
                raise Interrupted("stopped while others were at work")
            time.sleep(LOOK)

    def _standing(self, claims: tuple[Claim, ...]) -> set[tuple[str, str]]:
        return {
            (claim.name, claim.owner)
            for claim in claims
            if claim.alive and claim.name.startswith((NETWORK, LAST))
        }
