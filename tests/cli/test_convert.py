"""`data convert`: each form is read back with the same videos, labels, parts and groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from expand3d.cli.main import main
from expand3d.data.convert import write_shards
from expand3d.data.decode import verify
from expand3d.data.hashes import sha256
from expand3d.data.manifest import Manifest, load_manifest
from tests.helpers import made_layouts as made

Facts = set[tuple[str, str, str | None, str | None]]


def facts(manifest: Manifest, *, groups: bool = True) -> Facts:
    """Content, class, part and group of each video."""
    return {
        (sha256(v.path), manifest.class_names[v.label], v.split, v.group if groups else None)
        for v in manifest.videos
    }


def convert(source: str, form: str, out: Path) -> int:
    return main(["data", "convert", source, "--to", form, "--out", str(out)])


def test_every_form_holds_what_was_read(tmp_path: Path) -> None:
    root = made.ucf101(tmp_path / "ucf")
    source = f"ucf101:{root}?split=2"
    before = load_manifest(source)
    for form, out in (("list", "all.csv"), ("shards", "shards"), ("folders", "links")):
        assert convert(source, form, tmp_path / out) == 0
        after = load_manifest(tmp_path / out)
        same = form != "folders"  # links carry no groups
        assert facts(after, groups=same) == facts(before, groups=same), form
        if same:
            assert after.class_names == before.class_names
    linked = next((tmp_path / "links" / "test").rglob("*.avi"))
    assert linked.is_symlink() and linked.resolve().is_relative_to(root)


def test_folders_of_pictures_become_links_and_lines_but_no_shards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = made.twentybn(tmp_path / "jester")
    assert convert(str(root), "list", tmp_path / "all.csv") == 0
    assert facts(load_manifest(tmp_path / "all.csv")) == facts(load_manifest(root))
    assert convert(str(root), "folders", tmp_path / "links") == 0
    linked = load_manifest(f"frames:{tmp_path / 'links'}?fps=12")
    assert facts(linked) == facts(load_manifest(root))
    assert convert(str(root), "shards", tmp_path / "shards") == 2
    assert "a folder of pictures, which no shard holds" in capsys.readouterr().err


def test_shards_are_filled_up_to_a_size_and_read_in_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = made.webdataset(tmp_path / "first")
    manifest = load_manifest(root)
    out = tmp_path / "second"
    parts = [video.split for video in manifest.videos]
    assert write_shards(manifest, out, parts, shard_bytes=1) == 6
    again = load_manifest(out)
    assert facts(again) == facts(manifest) and again.class_names == ("walk", "run")
    assert all(verify(video.path).frames == 4 for video in again.videos)
    assert convert(str(root), "folders", tmp_path / "links") == 2
    assert "lies in a shard, and cannot be linked to" in capsys.readouterr().err
    assert convert(str(root), "list", tmp_path / "all.csv") == 0
    assert facts(load_manifest(tmp_path / "all.csv")) == facts(manifest)
    assert convert(str(root), "shards", out) == 2
    assert "is there; choose a new folder" in capsys.readouterr().err
