"""Files that are there whole or not at all, on a disk that is full and after an interruption."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from expand3d.core.errors import FileError
from expand3d.core.files import make_folder, write_whole, written_whole

FullDisk = Callable[[int], AbstractContextManager[None]]


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert write_whole(path, "é\r\n") == path
    assert path.read_bytes() == b"\xc3\xa9\r\n"
    write_whole(path, b"\x00new")
    assert path.read_bytes() == b"\x00new" and list(tmp_path.iterdir()) == [path]


def test_others_may_read_it_as_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_whole(tmp_path / "whole", b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "whole")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("before", [None, b"old"])
def test_on_a_full_disk_the_old_content_stays(
    before: bytes | None, tmp_path: Path, full_disk: FullDisk
) -> None:
    path = tmp_path / "f"
    if before is not None:
        path.write_bytes(before)
    with full_disk(100), pytest.raises(FileError, match=r"/f cannot be written: File too large$"):
        write_whole(path, b"x" * 101)
    assert [each.read_bytes() for each in tmp_path.iterdir()] == ([before] if before else [])


def test_content_is_on_the_disk_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    write_whole(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(FileError, match="No space left"):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), written_whole(tmp_path / "f") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_folder_below_a_file_is_one_line(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(FileError, match=f"^{path} cannot be written: [A-Z][a-z ]+$"):
            make_folder(path)
