"""A PostgreSQL server of our own on this machine, for a test, where one is installed."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


def _tool(name: str) -> str:
    """A server program's path; Debian keeps them out of PATH."""
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None
    )
    if found is None:
        pytest.skip("no PostgreSQL server is installed here (Debian: apt-get install postgresql)")
    return os.path.realpath(found)


def _user() -> str | None:
    """Who runs the server: it refuses root."""
    if os.geteuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of an empty database; skips where server or driver is missing."""
    pytest.importorskip("psycopg", reason="pip install 'expand3d[postgresql]'")
    initdb, postgres = _tool("initdb"), _tool("postgres")
    user, home = _user(), Path(tempfile.mkdtemp(prefix="expand3d-pg-"))
    if user:
        shutil.chown(home, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = str(home / "data")
    options = ["-k", str(home), "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    try:
        words = [initdb, "-D", data, "-U", "expand3d", "--auth=trust", "--no-sync"]
        subprocess.run(words, user=user, cwd=home, check=True, capture_output=True)
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(
                [postgres, "-D", data, *options], user=user, cwd=home, stdout=log, stderr=log
            )
        try:
            _wait(port, server, home / "log")
            yield f"postgresql://expand3d@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait(30)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    for _ in range(150):
        assert server.poll() is None, log.read_text()
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(f"postgresql://expand3d@127.0.0.1:{port}/postgres").close()
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())
