"""The report on a data set's files and the picture of it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from expand3d.core.errors import DataError
from expand3d.data.check import check
from expand3d.data.manifest import load_manifest
from expand3d.data.show import BOX_HEIGHT, BOX_WIDTH, CAPTION, GAP, MARGIN, NAMES, contact_sheet
from tests.helpers.made_videos import greys, write_data_set, write_packets, write_video


def test_report_of_good_and_bad(tmp_path: Path) -> None:
    path = write_data_set(tmp_path, clips=5)
    write_video(tmp_path / "clip0.mp4", greys([90] * 31, height=48, width=64))
    (tmp_path / "clip3.mp4").unlink()
    cut = tmp_path / "clip4.mp4"
    write_video(cut, greys(range(60, 120)), muxer={"movflags": "faststart"})
    cut.write_bytes(cut.read_bytes()[:-200])
    seen: list[tuple[int, int]] = []
    manifest = load_manifest(path)
    report = check(manifest, fps=15, progress=lambda done, total: seen.append((done, total)))
    assert not report.ok
    assert [(key, reason.split(" after")[0]) for key, reason in report.bad] == [
        ("clip3.mp4", "missing"),
        ("clip4.mp4", "damaged or cut off"),
    ]
    assert report.classes == {"class0": 2, "class1": 1}
    # Lengths at 15 frames/s: 16 (31 frames at 30), 5 and 5; short sides 48, 32 and 32.
    assert (report.frames, report.short_side) == (5, 32)
    assert report.infos["clip0.mp4"].frames == 31
    assert seen == [(n, 5) for n in range(1, 6)]
    # Headers alone show neither the end nor the damage before it.
    assert [bad.key for bad in check(manifest, deep=False).bad] == ["clip3.mp4"]


def test_odd_time_stamps_are_named(tmp_path: Path) -> None:
    path = write_data_set(tmp_path, clips=2)
    odd = tmp_path / "clip1.mp4"
    write_packets(odd, greys([90] * 4), [0, 100, 7_200_200, 7_200_300], base=Fraction(1, 1000))
    for deep in (True, False):
        report = check(load_manifest(path), fps=10, deep=deep)
        assert report.ok and list(report.remarks) == ["clip1.mp4"]
        # Four frames at ten a second: no part of the two hours is among them.
        assert report.infos["clip1.mp4"].frames_at(10) == 4


def test_the_worst_of_the_real_files(decoder_samples: Path, tmp_path: Path) -> None:
    names = ["corrupted.mp4", "test.wav", "unordered.mov", "nothing.mp4"]
    lines = "".join(f"{decoder_samples / name},0\n" for name in names)
    (tmp_path / "list.csv").write_text(lines)
    report = check(load_manifest(tmp_path / "list.csv"))
    assert [bad.key for bad in report.bad] == ["corrupted.mp4", "test.wav", "nothing.mp4"]
    assert list(report.infos) == ["unordered.mov"]


def test_contact_sheet_shows_frames_in_order_of_time(tmp_path: Path) -> None:
    from matplotlib.image import imread

    folder = tmp_path / "data"
    for label in ("dark", "light"):
        (folder / label).mkdir(parents=True)
    levels = [20, 60, 100, 140, 180, 220]
    for name in ("dark/a.mp4", "dark/b.mp4", "dark/c.mp4", "light/a.mp4"):
        frames = greys([level for level in levels for _ in range(5)], height=96, width=128)
        write_video(folder / name, frames)
    (folder / "light" / "z.mp4").write_bytes(b"broken")
    out = contact_sheet(load_manifest(folder), tmp_path / "new" / "sheet.png", clips=2, frames=6)
    picture = imread(out)
    strip = 6 * (BOX_WIDTH + GAP) - GAP
    assert picture.shape[:2] == (
        2 * (BOX_HEIGHT + CAPTION) + MARGIN,
        NAMES + 2 * (strip + MARGIN),
    )
    middle = MARGIN + 18 + BOX_HEIGHT // 2
    for column in (0, 1):
        left = NAMES + column * (strip + MARGIN)
        found = [
            255 * float(picture[middle, left + k * (BOX_WIDTH + GAP) + BOX_WIDTH // 2, 0])
            for k in range(6)
        ]
        assert all(abs(a - b) < 4 for a, b in zip(found, levels, strict=True)), found


def test_contact_sheet_of_clips_whose_headers_tell_no_length(tmp_path: Path) -> None:
    for label in ("dark", "light"):
        (tmp_path / label).mkdir()
        path = tmp_path / label / "live.mkv"
        write_packets(path, greys([50, 90, 130]), [0, 100, 200], rate=10, muxer={"live": "1"})
        write_video(tmp_path / label / "one.mp4", greys([70]))
    out = contact_sheet(load_manifest(tmp_path), tmp_path / "sheet.png", frames=3)
    assert out.read_bytes().startswith(b"\x89PNG")


def test_contact_sheet_of_fewer_classes(tmp_path: Path) -> None:
    from matplotlib.image import imread

    manifest = load_manifest(write_data_set(tmp_path, clips=4))
    out = contact_sheet(manifest, tmp_path / "sheet.png", classes=1, clips=1, frames=1)
    assert imread(out).shape[0] == BOX_HEIGHT + CAPTION + MARGIN
    with pytest.raises(DataError, match="frames 0: at least 1"):
        contact_sheet(manifest, tmp_path / "sheet.png", frames=0)
