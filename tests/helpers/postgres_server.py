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
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.waiting import HANGS, wait_for


def _tool(name: str) -> str:
    """A server program's path; Debian keeps them out of PATH."""
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None
    )
    if found is None:
        pytest.skip("no PostgreSQL server is installed here (Debian: apt-get install postgresql)")
    return os.path.realpath(found)


def _user() -> str | None:
    """The user who runs the server: it refuses root."""
    if os.geteuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Server:
    """A server that can be stopped and started again; `url` is that of its empty database."""

    def __init__(self, home: Path, user: str | None) -> None:
        self._home, self._user = home, user
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"postgresql://expand3d@127.0.0.1:{self._port}/postgres"
        words = [_tool("initdb"), "-D", str(home / "data"), "-U", "expand3d", "--auth=trust"]
        subprocess.run([*words, "--no-sync"], user=user, cwd=home, check=True, capture_output=True)

    def start(self) -> None:
        words = ["-D", str(self._home / "data"), "-k", str(self._home), "-p", str(self._port)]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_tool("postgres"), *words, "-c", "listen_addresses=127.0.0.1"],
                user=self._user,
                cwd=self._home,
                stdout=log,
                stderr=log,
            )
        self._wait()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(HANGS)

    def _wait(self) -> None:
        import psycopg

        def answers() -> bool:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url).close()
                return True
            return False

        wait_for(answers, process=self._process, said=(self._home / "log").read_text)


@contextlib.contextmanager
def postgres_server() -> Iterator[Server]:
    """A running server; skips where its programs or the driver library are missing."""
    pytest.importorskip("psycopg", reason="pip install 'expand3d[postgresql]'")
    _tool("initdb"), _tool("postgres")
    user, home = _user(), Path(tempfile.mkdtemp(prefix="expand3d-pg-"))
    try:
        if user:
            shutil.chown(home, user)
        server = Server(home, user)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)
