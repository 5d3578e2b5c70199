"""The Optuna study behind a record: opening, making and telling, in single transactions."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import StudyError
from expand3d.study import optuna_inside
from expand3d.study.folder import StudyFolder, hide_password
from expand3d.study.optuna_inside import TrialRow

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy import Engine

METRICS = ("accuracy", "macs")
#: Names a file to the pool of connections alone; where it lies is the connector's business.
SQLITE_URL = "sqlite:///study.db"
#: A dashboard that reads while we write makes SQLite wait; it must not make a run fail.
SQLITE_TIMEOUT_SECONDS = 60.0
#: So long a server may be away before a run fails over it.
OUTAGE_SECONDS = 60.0
#: After this PostgreSQL ends a transaction in which nothing happens any more.
IDLE_MS = 60_000


class Database:
    """The database of a record: read through `engine`, written through Optuna.

    Looking at a file does not need Optuna, which takes longer to import than most files to read.
    """

    def __init__(self, folder: StudyFolder, url: str | None) -> None:
        self._folder = folder
        self._url = url

    @cached_property
    def optuna(self) -> RDBStorage:
        """The storage in Optuna's terms, made where there is none; StudyError says what failed."""
        return open_storage(self._folder, self._url)

    @cached_property
    def engine(self) -> Engine:
        """Connections to the database."""
        if self._url is not None or not self._folder.database.exists():
            return optuna_inside.engine(self.optuna)
        from sqlalchemy import create_engine

        return create_engine(SQLITE_URL, creator=_connector(self._folder.database.resolve()))

    def read(self, sql: str, **values: Any) -> Sequence[Any]:
        """The rows of a query; StudyError where the database is not one of Optuna's."""
        from sqlalchemy import text
        from sqlalchemy.exc import SQLAlchemyError

        def rows() -> Sequence[Any]:
            with self.engine.connect() as connection:
                return connection.execute(text(sql), values).all()

        try:
            return rows()
        except SQLAlchemyError:
            _ = self.optuna  # makes tables that are missing, or says what is wrong
        with _refused(SQLAlchemyError, self._folder.name, "read"):
            return rows()

    def study(self, name: str) -> int | None:
        """Number of the study called `name`, or None."""
        return optuna_inside.study_number(self.read, name)

    def names(self) -> list[str]:
        """Every study's name."""
        return optuna_inside.study_names(self.read)

    def attributes(self, study: int) -> dict[str, Any]:
        """The attributes of the study as a whole, by key."""
        return optuna_inside.study_attributes(self.read, study)

    def trials(self, study: int, attribute: str) -> list[TrialRow]:
        """Every trial of a study by number, with one of its attributes."""
        return optuna_inside.trial_rows(self.read, study, attribute)

    def before_each_commit(self, call: Callable[[Any], None]) -> None:
        """Have `call` run in each transaction of Optuna's, with its session, before it ends."""
        optuna_inside.before_each_commit(self.optuna, call)


def is_missing(url: str) -> bool:
    """True where a storage is an SQLite file that is not there, which opening it would make."""
    file = _sqlite_file(url)
    return file is not None and not file.exists()


def refuse_unmakeable(url: str) -> None:
    """StudyError where a storage is an SQLite file that is not there and cannot be made."""
    file = _sqlite_file(url)
    if file is None or file.exists() or (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
        return
    raise StudyError(
        f"{url}: cannot be opened as a record: {file.parent} is no folder that can be written"
    )


def _sqlite_file(url: str) -> Path | None:
    match = re.match(r"sqlite(?:\+\w+)?:///([^?]+)", url)
    return None if match is None or match[1] == ":memory:" else Path(match[1])


def open_storage(folder: StudyFolder, url: str | None) -> RDBStorage:
    """The storage of a study: its SQLite file, or the one at `url`; StudyError says what failed."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    place = str(folder.database) if url is None else hide_password(url)
    try:
        if url is not None:
            return _server(url)
        database = folder.database.resolve()
        if not database.exists():
            # Whole or not at all: who opens a file without tables makes them too, and one of two
            # processes then finds that a table already exists.
            made = database.with_name(f"{database.name}.new")
            try:
                made.unlink(missing_ok=True)
                made.touch()  # as the umask says; SQLite would keep a group from writing
                make_tables(made)
                made.replace(database)
            except BaseException:
                with contextlib.suppress(OSError):
                    made.unlink()
                raise
        return _sqlite(database)
    except (
        SQLAlchemyError,
        StorageInternalError,
        ImportError,
        RuntimeError,
        OSError,
        ValueError,  # a null byte in a name
    ) as error:
        cause = error.__cause__ or error
        hint = "; install it with: pip install 'expand3d[postgresql]'"
        missing = isinstance(cause, ImportError) and "psycopg" in str(cause)
        raise StudyError(
            f"{place}: cannot be opened as a record: {_first_line(cause)}{hint if missing else ''}"
        ) from error


def _server(url: str) -> RDBStorage:
    """The storage at a URL, whose connections are looked at before they are used again."""
    from optuna.storages import RDBStorage
    from sqlalchemy import event, make_url

    parsed = make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    options: dict[str, Any] = {"pool_pre_ping": True}
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        options["connect_args"] = {"timeout": SQLITE_TIMEOUT_SECONDS}
    elif kind == "postgresql":
        # What a machine held that went away in the middle of a transaction must become free.
        options["connect_args"] = {"options": f"-c idle_in_transaction_session_timeout={IDLE_MS}"}
    storage = RDBStorage(parsed.render_as_string(hide_password=False), engine_kwargs=options)
    event.listen(
        optuna_inside.engine(storage), "do_connect", _patiently
    )  # a wrong address has failed by now
    return storage


def _patiently(dialect: Any, _record: Any, words: Any, options: Any) -> Any:
    """A connection, though the server may be away for a while: it is restarted, or a network is."""
    deadline = time.monotonic() + OUTAGE_SECONDS
    while True:
        try:
            return dialect.connect(*words, **options)
        except dialect.loaded_dbapi.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _sqlite(path: Path) -> RDBStorage:
    from optuna.storages import RDBStorage

    return RDBStorage(SQLITE_URL, engine_kwargs={"creator": _connector(path)})


def make_tables(path: Path) -> None:
    """Make Optuna's tables in an SQLite file that has none."""
    optuna_inside.engine(_sqlite(path)).dispose()


def _connector(path: Path) -> Callable[[], sqlite3.Connection]:
    """A function that connects to a file of any path; '?', '#' and '{' mean something in a URL."""

    def connect() -> sqlite3.Connection:
        # The pool gives a connection to one thread at a time.
        return sqlite3.connect(path, timeout=SQLITE_TIMEOUT_SECONDS, check_same_thread=False)

    return connect


def make_study(storage: RDBStorage, name: str) -> int:
    """Number of a study with our two objectives, made now or left by a start that was killed."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=["maximize", "minimize"],
            load_if_exists=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(METRICS))
    finally:
        optuna.logging.set_verbosity(level)
    number: int = storage.get_study_id_from_name(name)
    return number


def add_running(
    storage: RDBStorage,
    study: int,
    *,
    params: Mapping[str, float],
    ranges: Mapping[str, tuple[float, float]],
    attributes: Mapping[str, Any],
) -> int:
    """Optuna's identifier of a new running trial, made with all it has in one transaction."""
    from optuna.distributions import FloatDistribution
    from optuna.trial import TrialState, create_trial

    distributions = {
        name: FloatDistribution(*ranges.get(name, (value, value))) for name, value in params.items()
    }
    template = create_trial(
        state=TrialState.RUNNING,
        params={name: float(value) for name, value in params.items()},
        distributions=dict(distributions),
        user_attrs=dict(attributes),
    )
    return storage.create_new_trial(study, template_trial=template)


def tell(storage: RDBStorage, trial: int, state: str, values: tuple[float, float] | None) -> None:
    """Finish a trial in one of the states ENDED, a complete one with its two values."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    with contextlib.suppress(UpdateFinishedTrialError):  # told before a crash
        storage.set_trial_state_values(trial, TrialState[state], values)


def writing(name: str, resume: str | None = None) -> contextlib.AbstractContextManager[None]:
    """Turn a write that the storage refuses (disk full, gone, value too long) into a StudyError.

    Where another process has the database locked, it names the command `resume`.
    """
    from optuna.exceptions import StorageInternalError

    return _refused(StorageInternalError, name, "written", resume)


@contextlib.contextmanager
def _refused(
    kind: type[Exception], name: str, what: str, resume: str | None = None
) -> Iterator[None]:
    try:
        yield
    except kind as error:
        cause = error.__cause__ or error
        raise StudyError(
            f"the record of study {name!r} cannot be {what}: {_first_line(cause)}"
            f"{_locked(cause, resume)}"
        ) from error


def _locked(cause: BaseException, resume: str | None) -> str:
    if "database is locked" not in str(cause):
        return ""
    again = f"; what was recorded is kept, continue with: {resume}" if resume else ""
    return f" by another process, such as a viewer that writes or a backup{again}"


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
