"""Hashes of files' contents: SHA-256, computed once per change of the file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from expand3d.core.errors import DataError
from expand3d.core.files import unique_temporary
from expand3d.data.manifest import Manifest
from expand3d.data.places import State, files_of, opened, pictures_of, require_file


class FileHashes:
    """SHA-256 of files, remembered by path, size and times in one JSON file.

    It is a shortcut and nothing more: what is lost or overwritten by another process is computed
    again.
    """

    def __init__(self, index: Path) -> None:
        self._index = index
        self._known = self._read()

    def sha256(self, path: Path) -> str:
        """The file's hash in hexadecimal; DataError where it cannot be read."""
        state = _state(require_file(path))
        known = self._known.get(str(path))
        if known is not None and known[:-1] == state:
            return str(known[-1])
        sha = sha256(path)
        self._known[str(path)] = [*state, sha]
        return sha

    def knows(self, path: Path) -> bool:
        """True where `sha256` need not read the file."""
        known = self._known.get(str(path))
        return known is not None and known[:-1] == _state(require_file(path))

    def save(self) -> None:
        """Write what is known, joined with what others wrote meanwhile."""
        known = self._read()
        known.update(self._known)
        temporary = unique_temporary(self._index)
        with temporary.open("w") as file:
            json.dump({"files": known}, file)
        os.replace(temporary, self._index)

    def _read(self) -> dict[str, list[int | str]]:
        try:
            return dict(json.loads(self._index.read_text())["files"])
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def _state(state: State) -> list[int | str]:
    """The signs of a change of a file; ctime too: a copy that keeps its times is noticed."""
    return [*state]


def sha256(path: Path) -> str:
    """The SHA-256 of a video's content in hexadecimal; DataError where it cannot be read.

    That of a folder of pictures is of their rate and each picture's hash.
    """
    try:
        if (files := files_of(path)) is not None:
            where = pictures_of(path)
            assert where is not None
            lines = [f"pictures {where.fps!r}", *(_digest(file) for file in files)]
            return hashlib.sha256("\n".join(lines).encode()).hexdigest()
        return _digest(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _digest(path: Path) -> str:
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(manifest: Manifest, shas: Sequence[str]) -> str:
    """32 hexadecimal digits that change with the content, labels, groups or order of the videos.

    They do not change when the data moves to another place.
    """
    digest = hashlib.sha256(json.dumps(manifest.class_names).encode())
    for video, sha in zip(manifest.videos, shas, strict=True):
        line = [video.key, video.label, video.group, video.split, sha]
        digest.update(json.dumps(line).encode())
    return digest.hexdigest()[:32]
