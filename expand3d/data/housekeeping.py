"""The content of the cache by kind, age and use, and its removal: all of it can be made again."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from expand3d.core.errors import FileError
from expand3d.data.cache import LEFTOVER_SECONDS
from expand3d.data.cache_use import turn, used
from expand3d.data.seeking import INDEXES
from expand3d.data.source import BUNDLED

CLIPS, FLOW, VIDEOS, LEFTOVER = "clips", "optical flow", "bundled videos", "left half written"
INDEX = "frame indexes"
#: Kinds of entries, by the pattern of their names below the cache. What matches none is not ours.
KINDS: Mapping[str, re.Pattern[str]] = {
    CLIPS: re.compile(r"[0-9a-f]{2}/[0-9a-f]{32}\.npy"),
    FLOW: re.compile(r"flow/[0-9a-f]{2}/[0-9a-f]{32}\.npy"),
    INDEX: re.compile(rf"{INDEXES}/[0-9a-f]{{2}}/[0-9a-f]{{32}}\.npz"),
    VIDEOS: re.compile(rf"{BUNDLED}-\d+"),
    LEFTOVER: re.compile(r"(flow/|index/)?[0-9a-f]{2}/\.[0-9a-f]{32}\.(npy|npz|json)\..+\.tmp"),
}
#: The folder of optical flow, which has users of its own.
FLOWS = "flow"
_PATTERNS = (
    *("*/*.npy", "flow/*/*.npy", "index/*/*.npz", f"{BUNDLED}-*"),
    *("*/.*.tmp", "flow/*/.*.tmp", "index/*/.*.tmp"),
)


@dataclass(frozen=True)
class Entry:
    """One clip, the flow of one, or the bundled videos: bytes, and when it was last used.

    `used` is in seconds since 1970. An entry `in_use` belongs to a process that lives.
    """

    name: str
    kind: str
    bytes: int
    used: float
    in_use: bool


def entries(root: Path, *, now: float | None = None) -> tuple[Entry, ...]:
    """The entries of the cache, the one that was not used for longest first."""
    now = time.time() if now is None else now
    taken = used(root) | {f"{FLOWS}/{name}" for name in used(root / FLOWS)}
    found = []
    for name, kind in _names(root):
        path = root / name
        with suppress(FileNotFoundError):  # gone meanwhile
            stat = path.stat()
            young = kind == LEFTOVER and now - stat.st_mtime < LEFTOVER_SECONDS
            in_use = name in taken or young  # somebody may be writing it
            size = sum(_bytes(each) for each in _paths(path))
            found.append(Entry(name, kind, size, stat.st_mtime, in_use))
    return tuple(sorted(found, key=lambda entry: (entry.used, entry.name)))


def chosen(
    found: Sequence[Entry],
    *,
    now: float,
    older_than: float | None = None,
    keep_under: int | None = None,
) -> tuple[Entry, ...]:
    """The entries to remove: not used for `older_than` seconds, or the oldest above a size.

    After their removal the cache has at most `keep_under` bytes, as far as nobody uses the rest.
    Without either it is everything. What is in use is never among them.
    """
    free = [entry for entry in found if not entry.in_use]
    if older_than is None and keep_under is None:
        return tuple(free)
    gone = {e.name for e in free if older_than is not None and now - e.used > older_than}
    if keep_under is not None:
        left = sum(entry.bytes for entry in found if entry.name not in gone)
        for entry in free:  # the oldest first
            if left > keep_under and entry.name not in gone:
                gone.add(entry.name)
                left -= entry.bytes
    return tuple(entry for entry in free if entry.name in gone)


def prune(
    root: Path, *, older_than: float | None = None, keep_under: int | None = None
) -> tuple[Entry, ...]:
    """The entries that were removed, as `chosen` says; FileError where the cache is read-only.

    Nobody begins to use an entry meanwhile.
    """
    if not root.is_dir():
        return ()
    now = time.time()
    try:
        with ExitStack() as turns:
            for home in (root, root / FLOWS):
                if home.is_dir():
                    turns.enter_context(turn(home))
            found = entries(root, now=now)
            gone = chosen(found, now=now, older_than=older_than, keep_under=keep_under)
            for entry in gone:
                _remove(root / entry.name)
    except OSError as error:
        raise FileError(f"{root} cannot be pruned: {error.strerror or error}") from None
    return gone


def by_kind(found: Iterable[Entry]) -> dict[str, tuple[int, int]]:
    """The number of entries of each kind, and their bytes."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for entry in found:
        counts[entry.kind] += 1
        sizes[entry.kind] += entry.bytes
    return {kind: (counts[kind], sizes[kind]) for kind in KINDS if counts[kind]}


def _names(root: Path) -> Iterator[tuple[str, str]]:
    """The names of entries and their kinds."""
    for pattern in _PATTERNS:
        for path in root.glob(pattern):
            name = path.relative_to(root).as_posix()
            for kind, known in KINDS.items():
                if known.fullmatch(name):
                    yield name, kind


def _paths(path: Path) -> Iterator[Path]:
    """The files of an entry: itself, what a folder holds, and the facts beside optical flow."""
    if path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_file())
        return
    yield path
    facts = path.with_suffix(".json")
    if path.suffix == ".npy" and facts.is_file():
        yield facts


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        return
    for file in [*_paths(path)]:
        file.unlink(missing_ok=True)
    with suppress(OSError):  # other entries are in it
        path.parent.rmdir()
