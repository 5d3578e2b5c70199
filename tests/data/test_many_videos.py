"""Data sets of many videos: a plan looks for all and reads the headers of a few."""

from __future__ import annotations

import shutil
from pathlib import Path

from expand3d.data.check import sampled
from expand3d.data.layouts.lists import table
from expand3d.data.manifest import load_manifest
from tests.helpers.made_videos import greys, write_video


def test_a_sample_of_headers_and_every_file_that_is_missing(tmp_path: Path) -> None:
    short = write_video(tmp_path / "short.mp4", greys([50] * 10))
    long = write_video(tmp_path / "long.mp4", greys([50] * 20))
    for k in range(12):
        shutil.copy(short if k < 6 else long, tmp_path / f"{k}.mp4")
    lines = "".join(f"{k}.mp4 {k % 2}\n" for k in range(12))
    (tmp_path / "list.txt").write_text(lines)
    (tmp_path / "5.mp4").unlink()
    (tmp_path / "7.mp4").write_bytes(b"damaged, as nobody looks into it")
    seen: list[tuple[int, int]] = []
    report = sampled(
        load_manifest(tmp_path / "list.txt"), fps=30, count=4, progress=lambda *at: seen.append(at)
    )
    assert [bad.key for bad in report.bad] == ["5.mp4"] and seen[-1] == (12, 12)
    # Headers of 0, 3, 6 and 9 are read; the others are as the one before them.
    assert {key: info.frames for key, info in report.infos.items()} == {
        f"{k}.mp4": 10 if k < 6 else 20 for k in range(12) if k != 5
    }


def test_a_table_without_quotes_has_the_cells_of_one_with_quotes() -> None:
    plain = "a, b\n c ,d\n\n x"
    quoted = 'a, "b"\n c ,d\n\n x'
    assert list(table(plain, ",")) == list(table(quoted, ","))
    assert list(table("a;b\n", ";")) == [(1, ["a", "b"])] and list(table("", ",")) == []
