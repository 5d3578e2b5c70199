"""Files that are on the disk whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from expand3d.core.errors import FileError


def unique_temporary(path: Path) -> Path:
    """A name beside `path` that no other process or thread uses; hidden, ends in .tmp."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")


@contextmanager
def written_whole(path: Path, *, temporary: Path | None = None) -> Iterator[IO[bytes]]:
    """A file, open for bytes, that takes the name `path` only once all of it is on the disk.

    Until then it is called `temporary`, which is unique by default. Whatever is raised inside
    leaves the old content of `path`, or no file where there was none.
    """
    temporary = temporary or unique_temporary(path)
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes | str) -> Path:
    """`path`, which now holds `content`, a text as UTF-8; FileError where it cannot be written."""
    data = content.encode() if isinstance(content, str) else content
    try:
        with written_whole(path) as file:
            file.write(data)
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


def make_folder(path: str | Path) -> Path:
    """The folder `path`, which is there now with its parents; FileError where it cannot be."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


def _unwritable(path: Path, error: OSError) -> FileError:
    return FileError(f"{path} cannot be written: {error.strerror or error}")
