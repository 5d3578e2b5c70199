"""Claims of processes on parts of a study, in its record's database: one row a claim.

A claim is taken by inserting its row, so that the database lets in one of many. Its owner renews
the row; one that did not for its `patience`, by the database's clock, is dead and its claim is
free. Every transaction of the record by an owner renews its claims too and fails where one is gone:
a process that was taken for dead and wakes up cannot write over its successor.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import StudyError
from expand3d.core.result import Interrupted
from expand3d.study.session import Session

if TYPE_CHECKING:
    from expand3d.study.database import Database

#: Seconds without a sign of life after which an owner is dead, and signs in that time.
PATIENCE_SECONDS = 60.0
SIGNS = 4
#: The claim of a driver, and how those of workers begin.
DRIVER = "driver"
WORKER = "worker/"

TABLE = "expand3d_claims"
#: The seconds since 1970 by the clock of each database that can keep claims.
CLOCKS = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS double precision)",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}
MAKE = f"""CREATE TABLE IF NOT EXISTS {TABLE} (
  study_id INTEGER NOT NULL, name VARCHAR(128) NOT NULL, owner VARCHAR(64) NOT NULL,
  place VARCHAR(128), who TEXT NOT NULL, patience DOUBLE PRECISION NOT NULL,
  seen DOUBLE PRECISION NOT NULL, losses INTEGER NOT NULL, PRIMARY KEY (study_id, name))"""


class ClaimLost(Interrupted):
    """Somebody else has what this process claimed, since it showed no sign of life for too long."""


@dataclass(frozen=True)
class Claim:
    """One row: `owner` (a process, by a random name) has `name`; `alive` is as of the reading."""

    name: str
    owner: str
    place: str | None
    who: Session
    alive: bool

    @property
    def text(self) -> str:
        """The owner, in words."""
        return f"process {self.who.pid} on {self.who.host} (started {self.who.started})"


class Claims:
    """The claims on one study, and those of this process among them."""

    def __init__(self, storage: Database, study: int, name: str) -> None:
        self._storage = storage
        self._study = study
        self._name = name
        self._held: dict[str, int] = {}
        self._listening = False
        self._clock = CLOCKS.get(storage.engine.name)
        self.owner = uuid.uuid4().hex
        self.patience = PATIENCE_SECONDS
        #: Whether a sign of life found fewer claims than are held; `prove` says.
        self.doubtful = False

    @property
    def supported(self) -> bool:
        """True where this database can keep claims."""
        return self._clock is not None

    def everyone(self) -> tuple[Claim, ...]:
        """Every claim on the study, by name, those of the dead too; reads only."""
        from sqlalchemy import inspect

        with self._access():
            if not self.supported or not inspect(self._storage.engine).has_table(TABLE):
                return ()
        with self._transaction() as run:
            rows = run(
                f"SELECT name, owner, place, who, seen + patience >= {self._clock} FROM {TABLE} "
                "WHERE study_id = :study ORDER BY name"
            )
            return tuple(
                Claim(name, owner, place, Session.from_json(json.loads(who)), bool(alive))
                for name, owner, place, who, alive in rows
            )

    def others(self) -> tuple[Claim, ...]:
        """The claims of other processes that are alive."""
        return tuple(c for c in self.everyone() if c.alive and c.owner != self.owner)

    def held(self, name: str) -> bool:
        """True where this process has the claim, as far as it knows."""
        return name in self._held

    def take(self, name: str, *, place: str | None = None) -> bool:
        """True where the claim is now this process's: it was free, or its owner is dead.

        An owner at the same `place`, a lock that this process holds, is dead too. ClaimLost where
        another claim of this process is gone.
        """
        from sqlalchemy.exc import IntegrityError

        self._prepare()
        who = json.dumps(Session.start().to_json())
        dead = (
            f"FROM {TABLE} WHERE study_id = :study AND name = :name AND "
            f"(seen + patience < {self._clock} OR place = :place)"
        )
        try:
            with self._transaction() as run:
                self._renew(run)
                before = run(f"SELECT losses {dead}", name=name, place=place).scalar()
                losses = 0 if before is None else before + 1
                run(f"DELETE {dead}", name=name, place=place)
                run(
                    f"INSERT INTO {TABLE} VALUES "
                    f"(:study, :name, :owner, :place, :who, :patience, {self._clock}, :losses)",
                    name=name,
                    place=place,
                    who=who,
                    patience=self.patience,
                    losses=losses,
                )
        except IntegrityError:
            return False
        self._held[name] = losses
        return True

    def losses(self, name: str) -> int:
        """The number of owners in a row that had died with the claim when this process took it."""
        return self._held[name]

    def give(self, name: str) -> None:
        """Let go of a claim, if it is held."""
        self._held.pop(name, None)
        with self._transaction() as run:
            run(
                f"DELETE FROM {TABLE} WHERE study_id = :study AND name = :name AND owner = :owner",
                name=name,
            )

    def bury(self) -> None:
        """Remove the claims of the dead, so that none of them goes on as if nothing had been."""
        with self._transaction() as run:
            run(f"DELETE FROM {TABLE} WHERE study_id = :study AND seen + patience < {self._clock}")

    def prove(self) -> None:
        """Renew the claims of this process; ClaimLost, after which they are forgotten, if gone."""
        with self._transaction() as run:
            self._renew(run)

    @contextmanager
    def holding(self, name: str, *, place: str | None = None) -> Iterator[bool]:
        """Yield True where the claim could be taken; let go of it in the end."""
        taken = self.take(name, place=place)
        try:
            yield taken
        finally:
            if taken:
                self.give(name)

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """A claim that is waited for."""
        while not self.take(name):
            time.sleep(0.1)
        try:
            yield
        finally:
            self.give(name)

    @contextmanager
    def signs_of_life(self) -> Iterator[None]:
        """Renews from a thread of its own whatever is held."""
        ended = threading.Event()

        def live() -> None:
            while not ended.wait(self.patience / SIGNS):
                # A database that does not answer now may do so the next time; what is written
                # to the record proves the claims in any case.
                with contextlib.suppress(StudyError), self._transaction() as run:
                    held = len(self._held)
                    self.doubtful |= self._seen(run) < held

        thread = threading.Thread(target=live, name="signs of life", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _prepare(self) -> None:
        """Make the table, and watch over the record's transactions from here on."""
        from sqlalchemy import inspect
        from sqlalchemy.exc import SQLAlchemyError

        if self._listening:
            return
        if not self.supported:
            raise StudyError(
                f"study {self._name!r} is in a {self._storage.engine.name} database; workers need "
                f"one of {', '.join(CLOCKS)}"
            )
        try:
            with self._storage.engine.begin() as connection:
                connection.exec_driver_sql(MAKE)
        except SQLAlchemyError as error:  # two at once: PostgreSQL lets one of them fail
            with self._access():
                if not inspect(self._storage.engine).has_table(TABLE):
                    raise error
        self._storage.before_each_commit(self._before_commit)
        self._listening = True

    def _before_commit(self, session: Any) -> None:
        if self._held:
            self._renew(self._runner(session))

    def _renew(self, run: Any) -> None:
        """Renew what is held in a transaction; ClaimLost where something is gone."""
        if not self._held:
            return
        if self._seen(run) < len(self._held):
            rows = run(f"SELECT name FROM {TABLE} WHERE study_id = :study AND owner = :owner")
            lost = self._held.keys() - {name for (name,) in rows}
            for name in lost:
                del self._held[name]
            self.doubtful = False
            raise ClaimLost(
                f"no sign of life for {self.patience:g} seconds: somebody else has "
                f"{', '.join(sorted(lost))}"
            )
        self.doubtful = False

    def _seen(self, run: Any) -> int:
        """The number of claims of this process, all of which this call renews."""
        mine = f"FROM {TABLE} WHERE study_id = :study AND owner = :owner ORDER BY name"
        if self._storage.engine.name != "sqlite":  # or two threads may wait for each other
            run(f"SELECT name {mine} FOR UPDATE")
        count: int = run(
            f"UPDATE {TABLE} SET seen = {self._clock} WHERE study_id = :study AND owner = :owner"
        ).rowcount
        return count

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with self._access(), self._storage.engine.begin() as connection:
            yield self._runner(connection)

    def _runner(self, connection: Any) -> Any:
        """Runs SQL on a connection or session; the study and this owner are always known to it."""
        from sqlalchemy import text

        def run(sql: str, **values: Any) -> Any:
            known = {"study": self._study, "owner": self.owner, **values}
            return connection.execute(text(sql), known)

        return run

    @contextmanager
    def _access(self) -> Iterator[None]:
        """Turns what the database refuses into a StudyError, but for a claim that is taken."""
        from sqlalchemy.exc import IntegrityError, SQLAlchemyError

        try:
            yield
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            cause = str(error).splitlines()[0]
            raise StudyError(
                f"the claims on study {self._name!r} cannot be kept: {cause}"
            ) from None
