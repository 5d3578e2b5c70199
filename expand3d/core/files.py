"""Files that are on the disk whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    leaves the old content of `path`, or no file where there was none. A link stays one. A device or
    a pipe is written to as it is: it must not be replaced by a file.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        with open(path, "wb") as file:
            yield file
        return
    temporary = temporary or unique_temporary(path)
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """FileError about `path` in place of what the system says; it names the file that failed."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from None
    except ValueError as error:
        if "null byte" not in str(error):
            raise
        raise FileError(f"{str(path)!r} cannot be written: no name holds a null byte") from None


def write_whole(path: Path, content: bytes | str) -> Path:
    """`path`, which now holds `content`, a text as UTF-8; FileError where it cannot be written."""
    data = content.encode() if isinstance(content, str) else content
    with writing(path), written_whole(path) as file:
        file.write(data)
    return path


def make_folder(path: str | Path) -> Path:
    """The folder `path`, which is there now with its parents; FileError where it cannot be."""
    path = Path(path)
    with writing(path):
        _made(path)
    return path


def _made(path: Path) -> list[Path]:
    """The folders that were made for `path` to be there, from the top; none where that fails."""
    made: list[Path] = []
    try:
        for each in reversed((path, *path.parents)):
            if each.is_dir():
                continue
            try:
                each.mkdir()
            except FileExistsError:
                if each.is_dir():  # somebody else has made it since
                    continue
                if each == path:
                    raise
                raise NotADirectoryError(
                    errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(each)
                ) from None
            made.append(each)
    except BaseException:
        _removed(made)
        raise
    return made


def _removed(made: list[Path]) -> None:
    for each in reversed(made):
        with suppress(OSError):  # somebody else has put something into it
            each.rmdir()


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """The folder `path`, made for what is done inside; what was made goes where that fails."""
    path = Path(path)
    with writing(path):
        made = _made(path)
    try:
        yield path
    except BaseException:
        _removed(made)
        raise


@contextmanager
def filled(out: Path) -> Iterator[Path]:
    """An empty folder whose files are moved into the folder `out` at the end, all of them or none.

    Files of the same names are replaced, each as a whole. FileError where `out`, or a file, cannot
    be written; nothing is left then, neither a file nor a folder that was made for it.
    """
    with writing(out):
        # On the disk of `out`, where a file takes its name by a rename and not by a copy.
        there = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
        scratch = tempfile.TemporaryDirectory(prefix=".expand3d-", dir=there)
    with scratch as name:
        try:
            with writing(out):
                yield Path(name)
        except FileError as error:
            raise FileError(str(error).replace(name, str(out))) from None
        files = sorted(Path(name).iterdir())
        with new_folder(out), writing(out):
            for file in files:
                if (out / file.name).is_dir():
                    raise FileError(f"{out / file.name} cannot be written: it is a folder")
            for file in files:
                file.replace(out / file.name)


def refuse_unwritable(folder: str | Path) -> None:
    """FileError where nothing can be written into a folder, there or not; it is left as it was."""
    folder = Path(folder)
    with writing(folder):
        made = _made(folder)
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        finally:
            _removed(made)


def refuse_occupied(out: str | Path, *, force: bool) -> None:
    """FileError where `out` is a file, or a folder that has something in it without `force`."""
    out = Path(out)
    with writing(out):
        if out.exists() and not out.is_dir():
            raise FileError(f"--out {out} is a file; it must be a folder, new or empty")
        if not force and out.is_dir() and any(out.iterdir()):
            raise FileError(f"--out {out} is not empty; choose a new folder, or add --force")


def refuse_present(out: str | Path, *, force: bool) -> None:
    """FileError where the file `out` is there without `force`, or is a folder."""
    out = Path(out)
    with writing(out):
        if out.is_dir():
            raise FileError(f"--out {out} is a folder; it must be a file")
        if not force and (out.is_file() or (out.is_symlink() and not out.exists())):
            raise FileError(f"--out {out} is there; choose a new file, or add --force")
