"""A Ray cluster on this machine that another process starts, as `ray start --head` does."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers import ROOT
from tests.helpers.waiting import HANGS, wait_for


@contextmanager
def ray_head(home: Path, *, cpus: int = 2) -> Iterator[str]:
    """HOST:PORT of a cluster of a user whose home folder is `home`.

    It asks for a token where that folder holds one.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # the names of sockets are short
    words = ["start", "--head", "--block", f"--port={port}", f"--num-cpus={cpus}"]
    words += ["--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={place}"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    said = home / "ray-start.txt"
    with said.open("wb") as file:
        head = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", *words],
            env={**plain, "HOME": str(home), "PYTHONPATH": str(ROOT)},
            stdout=file,
            stderr=file,
        )
    try:
        wait_for(
            lambda: "Ray runtime started" in said.read_text(), process=head, said=said.read_text
        )
        yield f"127.0.0.1:{port}"
    finally:
        head.terminate()
        head.wait(HANGS)
        shutil.rmtree(place, ignore_errors=True)
