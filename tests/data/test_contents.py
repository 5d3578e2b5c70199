"""A record keeps the facts of a data set's files."""

from __future__ import annotations

from pathlib import Path

from expand3d.data.cache import CacheSpec, build_store
from expand3d.data.check import check
from expand3d.data.contents import Contents
from expand3d.data.manifest import load_manifest
from tests.helpers.made_videos import greys, write_data_set, write_packets


def test_a_remark_is_not_part_of_the_record(tmp_path: Path) -> None:
    source = write_data_set(tmp_path / "data", clips=2)
    write_packets(tmp_path / "data" / "clip1.mp4", greys([50, 90, 130]), [0, 1, 72_000])
    manifest = load_manifest(source)
    report = check(manifest, deep=False)
    assert list(report.remarks) == ["clip1.mp4"]
    contents = Contents.of(build_store(manifest, CacheSpec(10, 24), tmp_path / "cache"), report)
    kept = contents.to_json()
    assert {len(facts) for facts in kept["infos"].values()} == {6}
    again = Contents.from_json(kept)
    assert again.infos["clip1.mp4"].frames == 3 and again.report(fps=10).ok
