"""Files that are there whole or not at all, on a disk that is full and after an interruption."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from expand3d.core.errors import FileError
from expand3d.core.files import (
    filled,
    make_folder,
    new_folder,
    refuse_unwritable,
    write_whole,
    written_whole,
)

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


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_is_filled_whole_or_not_at_all(there: bool, tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    if there:
        out.mkdir(parents=True)
        (out / "mine").write_text("mine")
        (out / "one").write_text("old")
    before = {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")}

    def now() -> dict[Path, object]:
        return {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")}

    missing = pytest.raises(FileError, match=f"^{out}/none/two cannot be written: No such file")
    with missing, filled(out) as folder:
        write_whole(folder / "one", "new")
        write_whole(folder / "none" / "two", "new")
    assert now() == before
    with pytest.raises(KeyboardInterrupt), filled(out) as folder:
        write_whole(folder / "one", "new")
        raise KeyboardInterrupt
    assert now() == before
    with filled(out) as folder:
        write_whole(folder / "one", "new")
    assert now() == {**before, tmp_path / "a": False, out: False, out / "one": "new"}


def test_a_folder_in_place_of_a_file_leaves_the_other_files(tmp_path: Path) -> None:
    (tmp_path / "out" / "two").mkdir(parents=True)
    (tmp_path / "out" / "one").write_text("old")
    in_the_way = pytest.raises(FileError, match="/two cannot be written: it is a folder")
    with in_the_way, filled(tmp_path / "out") as folder:
        write_whole(folder / "one", "new")
        write_whole(folder / "two", "new")
    assert (tmp_path / "out" / "one").read_text() == "old"


def test_asking_whether_a_folder_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    refuse_unwritable(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be written: Not a directory"):
        refuse_unwritable(tmp_path / "file" / "below")


def test_folders_that_were_made_go_where_what_needs_them_fails(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "a" / "b" / "c") as made:
        assert made.is_dir()
        raise KeyboardInterrupt
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "a" / "b" / "c") as made:
        (made / "kept").touch()
        raise KeyboardInterrupt
    assert (tmp_path / "a" / "b" / "c" / "kept").is_file()


def test_a_folder_that_another_makes_in_the_same_moment_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that fill a cache make its folders at once: who comes second goes on."""
    seen, look = set(), Path.is_dir

    def is_dir(path: Path) -> bool:
        there = look(path)
        if not there and path not in seen:
            seen.add(path)
            path.mkdir()  # by the other, right after we looked
        return there

    monkeypatch.setattr(Path, "is_dir", is_dir)
    inner = tmp_path / "index" / "80"
    assert make_folder(inner) == inner and look(inner)
    assert seen == {tmp_path / "index", inner}
