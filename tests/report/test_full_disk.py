"""A report that cannot be written leaves what was there, and no cut or empty file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from expand3d.core.errors import FileError
from expand3d.report.compare.comparison import compare_studies
from expand3d.report.compare.write import write_comparison
from expand3d.report.published.results import load_published
from expand3d.report.published.write import write_published
from expand3d.report.study.write import write_report
from tests.helpers.several_studies import searched
from tests.helpers.studies import expanded

FullDisk = Callable[[int], AbstractContextManager[None]]
Write = Callable[[Path], list[Path]]


def _study(out: Path) -> list[Path]:
    return write_report(expanded("0.05GFLOPs", clips=30), out)


def _compared(out: Path) -> list[Path]:
    names = ("one", "two")
    studies = [searched(name, budget="0.05GFLOPs", clips=30) for name in names]
    return write_comparison(compare_studies(studies), out)


def _published(out: Path) -> list[Path]:
    return write_published(load_published(["c3d"]), out)


@pytest.mark.parametrize(
    "write",
    [_study, *(pytest.param(each, marks=pytest.mark.slow) for each in (_compared, _published))],
)
def test_a_full_disk_leaves_no_cut_file(write: Write, tmp_path: Path, full_disk: FullDisk) -> None:
    old = write(tmp_path / "old")
    before = {path: path.read_bytes() for path in old}
    largest = {path.name: path.stat().st_size for path in old}
    # So that the first table, the picture, and what is larger than it fail in turn.
    for size in (10, largest[old[-3].name] - 1, max(largest.values()) - 1):
        with full_disk(size), pytest.raises(FileError, match=r"/old/.* cannot be written: "):
            write(tmp_path / "old")
        assert {path: path.read_bytes() for path in old} == before
        assert set((tmp_path / "old").iterdir()) == set(old)
    new = tmp_path / "new"
    with full_disk(largest[old[-3].name] - 1), pytest.raises(FileError):
        write(new)
    assert not new.exists(), "all of it, or nothing"


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(FileError, match=r"/out cannot be written: File exists"):
        _published(tmp_path / "out")
