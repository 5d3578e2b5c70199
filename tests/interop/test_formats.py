"""What every target has in common: its name, its folder, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from expand3d.core.errors import ExportError
from expand3d.core.plugins import FORMATS
from expand3d.interop.formats import export, get_writer
from tests.helpers.networks import exported


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
    export(exported(tmp_path, trained=False), target=target, out=out)  # empty: fine
    with pytest.raises(ExportError, match=r"is not empty.*--force"):
        export(exported(tmp_path, trained=False), target=target, out=out)


@pytest.mark.parametrize("target", FORMATS)
def test_force_replaces_its_own_files_and_no_others(tmp_path: Path, target: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("kept", encoding="utf-8")
    (out / "network.json").write_text("old", encoding="utf-8")
    files = export(exported(tmp_path), target=target, out=out, force=True)
    assert (out / "mine.txt").read_text(encoding="utf-8") == "kept"
    assert (out / "network.json").read_text(encoding="utf-8") != "old"
    assert out / "mine.txt" not in files
    assert all(path.is_file() for path in files)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("", encoding="utf-8")
    with pytest.raises(ExportError, match="is a file"):
        export(exported(tmp_path, trained=False), target="json", out=out, force=True)
