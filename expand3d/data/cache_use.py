"""The entries of the cache that living processes use, so that nobody removes them meanwhile.

A process that opens clips writes their names into a file of its own below `users/`, and holds it
while it lives. Whoever removes entries first asks which of these files are held.
"""

from __future__ import annotations

import os
import socket
import uuid
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from expand3d.core.errors import DataError
from expand3d.core.locks import HeldFile, content, hold, is_held

USERS = "users"
#: Somebody who removes entries holds it, and for a moment whoever begins to use some.
TURN = "turn"
#: Seconds to wait for one's turn; a removal of a large cache may take a while.
PATIENCE_SECONDS = 600.0


class Use:
    """Some entries of a cache in use until this is dropped, or its process ends in any way.

    A copy in another process uses nothing: the process that it came from outlives it.
    """

    def __init__(self, held: HeldFile | None = None, file: Path | None = None) -> None:
        if held is not None and file is not None:
            weakref.finalize(self, _end, held, file, os.getpid())

    @classmethod
    def of(cls, root: Path, names: Iterable[str]) -> Use:
        """The use of these entries, by their names below `root`, whose files are as new from now.

        In a cache that cannot be written nothing is removed either, and nothing is noted.
        """
        wanted = sorted(set(names))
        try:
            with turn(root):
                file = root / USERS / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
                held = hold(file)
                assert held is not None, "nobody else knows its name"
                held.write("\n".join(wanted))
        except OSError:
            return cls()
        for name in wanted:
            with suppress(OSError):
                os.utime(root / name)
        return cls(held, file)

    def __reduce__(self) -> tuple[type[Use], tuple[()]]:
        return Use, ()


def _end(held: HeldFile, file: Path, process: int) -> None:
    if process == os.getpid():  # a forked child ends its copy
        with suppress(OSError):
            file.unlink()
    held.close()


@contextmanager
def turn(root: Path) -> Iterator[None]:
    """A time in which nobody begins to use entries of the cache, and nobody else removes any.

    OSError where the cache cannot be written; DataError where others take too long.
    """
    folder = root / USERS
    folder.mkdir(parents=True, exist_ok=True)
    held = hold(folder / TURN, patience=PATIENCE_SECONDS)
    if held is None:
        raise DataError(f"{root}: another process is removing clips; try again later")
    with held:
        yield


def used(root: Path) -> set[str]:
    """Names of the entries that living processes use; the files of dead ones are removed.

    It is one's `turn`, or the answer may be old.
    """
    names: set[str] = set()
    for file in (root / USERS).glob("*-*"):
        try:
            if is_held(file):
                names.update(content(file).strip().split("\n"))
            else:
                file.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
    return names - {""}
