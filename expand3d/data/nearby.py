"""Hints at why a file is missing, found beside the place where it should be."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


def why_missing(path: Path) -> str:
    """A hint in brackets with a space before it, such as " (there is a.mp4)"; else nothing."""
    if path.is_symlink():
        return " (a broken link)"
    if "~" in path.parts:
        return " ('~' is not filled in within lists; write the whole path)"
    if "\\" in path.name:
        real = path.parent / path.name.replace("\\", "/")
        where = "; there is one with" if real.is_file() else ":"
        return f" (backslashes part no folders here{where} / instead of \\)"
    for name in _names(path.parent, _changed(path.parent)):
        stem, dot, suffix = name.rpartition(".")
        if name.casefold() == path.name.casefold() or (dot and suffix and stem == path.name):
            return f" (there is {name})"
    other = _in_other_letters(path)
    return f" (there is {other})" if other else ""


def _in_other_letters(path: Path) -> Path | None:
    """The path in the case of letters that its folders have, from the first that differs on."""
    home = next((folder for folder in path.parents if folder.is_dir()), None)
    if home is None or home == path.parent:
        return None
    real = home
    for part in path.relative_to(home).parts:
        alike = (n for n in _names(real, _changed(real)) if n.casefold() == part.casefold())
        name = next(alike, None)
        if name is None:
            return None
        real /= name
    return real.relative_to(home)


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=32)
def _names(folder: Path, changed: int) -> tuple[str, ...]:
    """The names in a folder, listed once for each of its changes."""
    try:
        return tuple(sorted(entry.name for entry in folder.iterdir()))
    except OSError:
        return ()
