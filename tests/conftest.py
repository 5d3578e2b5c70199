"""Fixtures that several areas share; real video is used where it is present and skipped else."""

from __future__ import annotations

import gc
import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Threads that wait for each other must not spin: other tests want the processor.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# As the command does: thousands of modules and tests are no garbage, and are looked at for nothing.
gc.set_threshold(100_000, 50, 50)

# How long examples take to make depends on what else the machine does; that fails no test.
for _name, _examples in {"quick": 25, "thorough": 100}.items():
    settings.register_profile(
        _name,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=_examples,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Properties are tried on fewer examples where slow tests are left out."""
    settings.load_profile("quick" if "not slow" in config.option.markexpr else "thorough")


@pytest.fixture(scope="session", autouse=True)
def _tables_are_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Records begin as a copy of an empty one: Optuna takes a fifth of a second for its tables.

    Processes of their own make them as ever.
    """
    from expand3d.study import database

    empty = tmp_path_factory.mktemp("tables") / "study.db"
    database.make_tables(empty)
    tables = empty.read_bytes()
    with mock.patch.object(database, "make_tables", lambda path: path.write_bytes(tables)):
        yield


@pytest.fixture(scope="session", autouse=True)
def _nobody_waits_for_the_disk() -> Iterator[None]:
    """Tests kill processes, whose writes the system keeps, and never the machine."""
    from expand3d.study import database

    connector = database._connector

    def quick(path: Path) -> Callable[[], sqlite3.Connection]:
        connect = connector(path)

        def connected() -> sqlite3.Connection:
            connection = connect()
            connection.execute("PRAGMA synchronous = OFF")
            return connection

        return connected

    with mock.patch.object(database, "_connector", quick):
        yield


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def _folder(name: str) -> Path:
    path = SHARED_DATA / name
    if not path.is_dir():
        pytest.skip(f"{name} is not on this machine")
    return path


@pytest.fixture
def ut_interaction() -> Path:
    """The UT-Interaction clips with manifest.csv (research data, not part of the project)."""
    return _folder("ut_interaction")


@pytest.fixture
def decoder_samples() -> Path:
    """Odd video files: rotated, corrupt, audio only."""
    return _folder("decoder_samples")


@pytest.fixture
def odd_files() -> Path:
    """Whole files with odd headers and time stamps; expected.csv says what is right."""
    return _folder("odd_files")


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """A context in which the kernel refuses every byte of a file beyond the given number."""

    @contextmanager
    def at(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return at
