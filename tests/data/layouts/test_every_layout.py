"""The contract of a data layout: it reads its own form, leaves others alone, and blames by file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from expand3d.core.errors import DataError
from expand3d.core.plugins import LAYOUTS
from expand3d.data.layouts.layout import Found
from expand3d.data.manifest import load_manifest
from tests.helpers.installed import offer
from tests.helpers.made_layouts import MADE


def _lists(folder: Path) -> Path:
    (folder / "train.txt").write_text("a.mp4 0\nb.mp4 1\n")
    (folder / "val.txt").write_text("c.mp4 1\n")
    return folder


def _list(folder: Path) -> Path:
    (folder / "some.csv").write_text("path,label_name\na.mp4,walk\nb.mp4,run\n")
    return folder / "some.csv"


def _folders(folder: Path) -> Path:
    for name in ("walk/a.mp4", "run/b.mp4"):
        (folder / name).parent.mkdir()
        (folder / name).touch()
    return folder


def _pattern(folder: Path) -> Path:
    _folders(folder)
    return folder / "*"


#: An example of each layout. Whoever adds a layout adds one.
EXAMPLES: Mapping[str, Callable[[Path], Path]] = {
    **MADE,
    "lists": _lists,
    "list": _list,
    "folders": _folders,
    "pattern": _pattern,
}


def test_every_layout_has_an_example() -> None:
    assert set(EXAMPLES) == set(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_reads_its_own_form(name: str, tmp_path: Path) -> None:
    source = EXAMPLES[name](tmp_path)
    found = LAYOUTS.load(name)(source, None)
    assert isinstance(found, Found) and len(found.rows) >= 2
    assert all(row.where and row.path and row.name for row in found.rows)
    manifest = load_manifest(source)
    assert [video.path for video in manifest.videos] == [found.base / r.path for r in found.rows]


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_first_that_recognises_a_source_is_the_one_of_its_example(
    name: str, tmp_path: Path
) -> None:
    source = EXAMPLES[name](tmp_path)
    for other in LAYOUTS:
        if other == name:
            break
        assert LAYOUTS.load(other)(source, None) is None


def test_a_layout_of_an_installed_package_is_asked_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "flat_videos.py").write_text(
        "from expand3d.data.layouts.layout import Found\n"
        "from expand3d.data.layouts.lists import Row\n\n"
        "def read(path, prefix):\n"
        "    files = sorted(path.glob('*__*.mp4')) if path.is_dir() else []\n"
        "    rows = [Row(str(f), f.name, f.name.partition('__')[0]) for f in files]\n"
        "    return Found(tuple(rows), path) if rows else None\n"
    )
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in ("walk__1.mp4", "run__2.mp4"):
        (flat / name).touch()
    with pytest.raises(DataError, match="holds no class folders"):
        load_manifest(flat)
    offer(package, {"expand3d.layouts": {"flat": "flat_videos:read"}}, monkeypatch)
    assert LAYOUTS.everyone() == ("flat", *LAYOUTS)
    assert load_manifest(flat).class_names == ("run", "walk")
    (tmp_path / "other").mkdir()
    assert load_manifest(_list(tmp_path / "other")).class_names == ("run", "walk")
