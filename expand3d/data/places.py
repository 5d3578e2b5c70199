"""The places of a video's bytes: in a file, in a member of a tar, or in a folder of pictures.

A path says which, so that lists can hold all of them:

- `a/b.mp4` is a file;
- `shards/train-000000.tar/b.mp4` is a member of a tar, which is read in place;
- `frames/00001` is a folder of pictures, `frames/00001/@12fps` the same at 12 pictures a second.
"""

from __future__ import annotations

import io
import os
import re
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from expand3d.core.errors import DataError
from expand3d.data.nearby import why_missing

#: Pictures a second of a folder whose path does not say.
PICTURE_RATE = 30.0
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
SHARD_SUFFIX = ".tar"
_RATE = re.compile(r"@(\d+(?:\.\d+)?)fps", re.ASCII)
#: How optical flow is called where it lies beside the pictures.
_FLOW = re.compile(r"(flow|[xy])_", re.IGNORECASE)


class State(NamedTuple):
    """The signs of a change of a video: its bytes, and times in nanoseconds."""

    size: int
    changed: int
    moved: int


class Part(NamedTuple):
    """A stretch of a file: where it begins, and its bytes."""

    file: Path
    start: int
    size: int


class Pictures(NamedTuple):
    """A folder of pictures, and how many are shown a second."""

    folder: Path
    fps: float


def at_rate(folder: str, fps: float) -> str:
    """The path of a folder of pictures that are shown at a rate."""
    return f"{folder}/@{fps:g}fps"


def pictures_of(path: Path) -> Pictures | None:
    """The folder of pictures that a path names; None where it names none."""
    if rate := _RATE.fullmatch(path.name):
        return Pictures(path.parent, float(rate[1]))
    return Pictures(path, PICTURE_RATE) if path.is_dir() else None


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their numbers, without flow that lies beside."""
    try:
        names = [name for name in os.listdir(folder) if _is_picture(name)]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    own = [name for name in names if not _FLOW.match(name)]
    return [folder / name for name in sorted(own or names, key=_in_numbers)]


def _is_picture(name: str) -> bool:
    return name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")


def _in_numbers(name: str) -> tuple[list[tuple[int, str]], str]:
    parts = re.findall(r"\d+|\D+", name)
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts], name


def part_of(path: Path) -> Part | None:
    """The member of a tar that a path names; None where it names none. DataError if it lacks."""
    text = str(path)
    if f"{SHARD_SUFFIX}{os.sep}" not in text:
        return None
    shard = next((up for up in path.parents if up.suffix == SHARD_SUFFIX and up.is_file()), None)
    if shard is None:
        return None
    member = path.relative_to(shard).as_posix()
    found = members(shard).get(member)
    if found is None:
        raise DataError(f"{path}: missing (the shard has no {member})")
    return found


def members(shard: Path) -> Mapping[str, Part]:
    """The files in a tar by name, in its order; DataError where it is damaged or compressed."""
    facts = shard.stat()
    return _members(shard, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=4096)
def _members(shard: Path, size: int, changed: int) -> Mapping[str, Part]:
    found = {}
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if member.isfile():
                    name = os.path.normpath(member.name)
                    found[name] = Part(shard, member.offset_data, member.size)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{shard}: damaged or no plain tar ({error})") from None
    for name, part in found.items():
        if part.start + part.size > size:
            raise DataError(f"{shard}: cut off within {name}")
    return found


def require_file(path: Path) -> State:
    """The state of a video; DataError where it is missing, empty, or a folder without pictures."""
    try:
        found = os.stat(path)
        if found.st_size and stat.S_ISREG(found.st_mode):  # one look at most files
            return State(found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    except (OSError, ValueError):
        pass
    if (part := part_of(path)) is not None:
        if not part.size:
            raise DataError(f"{path}: empty (0 bytes)")
        shard = part.file.stat()
        return State(part.size, shard.st_mtime_ns, shard.st_ctime_ns)
    if (pictures := pictures_of(path)) is not None:
        return _folder_state(path, pictures)
    if not path.is_file():
        raise DataError(f"{path}: missing{why_missing(path)}")
    raise DataError(f"{path}: empty (0 bytes)")


def _folder_state(path: Path, pictures: Pictures) -> State:
    if not pictures.folder.is_dir():
        raise DataError(f"{path}: missing{why_missing(pictures.folder)}")
    stats = [file.stat() for file in pictures_in(pictures.folder)]
    if not stats:
        raise DataError(f"{path}: a folder, not a video and without pictures")
    size, changed = sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats)
    return State(size, changed, max(s.st_ctime_ns for s in stats))


def files_of(path: Path) -> list[Path] | None:
    """The pictures of a folder of them; None where the video is one file or part of one."""
    pictures = pictures_of(path)
    return None if pictures is None else pictures_in(pictures.folder)


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a video that is one file or a member of a tar."""
    part = part_of(path)
    if part is None:
        with path.open("rb") as file:
            yield file
        return
    with part.file.open("rb") as file:
        yield io.BufferedReader(_Within(file, part, path.name))


@contextmanager
def opened_place(path: Path) -> Iterator[str | BinaryIO]:
    """The thing that a demuxer opens: the name of a file, or the bytes of a member of a tar."""
    if part_of(path) is None:
        yield str(path)
        return
    with opened(path) as file:
        yield file


class _Within(io.RawIOBase):
    """A member of a tar as a file."""

    def __init__(self, file: BinaryIO, part: Part, name: str) -> None:
        self._file = file
        self._part = part
        self._at = 0
        self.name = name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._part.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        left = max(0, min(len(buffer), self._part.size - self._at))
        self._file.seek(self._part.start + self._at)
        read = self._file.read(left)
        buffer[: len(read)] = read
        self._at += len(read)
        return len(read)
