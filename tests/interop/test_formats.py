"""The common part of all targets: its name, its folder, and what is left alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from expand3d.core.errors import ExportError, FileError
from expand3d.core.plugins import FORMATS
from expand3d.interop.formats import export, get_writer
from tests.helpers.networks import everywhere, exported

pytestmark = pytest.mark.usefixtures("converted_once")


@pytest.mark.parametrize("target", FORMATS)
def test_every_target_can_be_loaded_and_is_explained(target: str) -> None:
    assert callable(get_writer(target))
    assert FORMATS[target].help


def test_unknown_target_names_the_nearest() -> None:
    with pytest.raises(ExportError, match="did you mean 'pytorchvideo'"):
        get_writer("torchvideo")


@pytest.mark.parametrize("target", FORMATS)
def test_a_folder_with_something_in_it_is_refused(tmp_path: Path, target: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    network = everywhere(tmp_path)
    export(network, target=target, out=out)  # empty: fine
    with pytest.raises(ExportError, match=r"is not empty.*--force"):
        export(network, target=target, out=out)


@pytest.mark.parametrize("target", FORMATS)
def test_force_replaces_its_own_files_and_no_others(tmp_path: Path, target: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("kept", encoding="utf-8")
    (out / "network.json").write_text("old", encoding="utf-8")
    files = export(everywhere(tmp_path), target=target, out=out, force=True)
    assert (out / "mine.txt").read_text(encoding="utf-8") == "kept"
    assert (out / "network.json").read_text(encoding="utf-8") != "old"
    assert out / "mine.txt" not in files
    assert all(path.is_file() for path in files)


@pytest.mark.parametrize("target", FORMATS)
def test_files_follow_the_umask(tmp_path: Path, target: str) -> None:
    out = tmp_path / "out"
    before = os.umask(0o022)
    try:
        files = export(everywhere(tmp_path), target=target, out=out)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o644}
    assert stat.S_IMODE(out.stat().st_mode) == 0o755


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("", encoding="utf-8")
    with pytest.raises(ExportError, match="is a file"):
        export(exported(tmp_path, trained=False), target="json", out=out, force=True)


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("size", [100, 20_000])  # not even the first file fits; the weights do not
def test_on_a_full_disk_nothing_is_left_or_lost(
    target: str,
    size: int,
    tmp_path: Path,
    full_disk: Callable[[int], AbstractContextManager[None]],
) -> None:
    network, old = everywhere(tmp_path), tmp_path / "old"
    old.mkdir()
    (old / "network.json").write_text("old", encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    for out in (tmp_path / "new", old):
        with full_disk(size), pytest.raises(FileError, match=f"^{out} cannot be written: .*large"):
            export(network, target=target, out=out, force=True)
    assert sorted(tmp_path.iterdir()) == before
    assert [path.read_text(encoding="utf-8") for path in old.iterdir()] == ["old"]


def test_files_take_their_names_where_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scratch folder on another disk would make a copy of the last step, which can be cut."""
    network = exported(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "another disk, not there"))
    files = export(network, target="json", out=tmp_path / "a" / "b")
    assert sorted((tmp_path / "a" / "b").iterdir()) == files
    assert not list(tmp_path.glob(".*"))
