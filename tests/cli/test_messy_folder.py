"""`expand3d data check` on a folder with forty oddities at once: a report to act on."""

from __future__ import annotations

import json
import os
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from expand3d.cli.main import main
from tests.helpers.made_videos import greys, rotate_clockwise, write_packets, write_video

LEVELS = [50, 90, 130, 170, 210]
MS = Fraction(1, 1000)


def moving(seed: int) -> list[np.ndarray]:
    picture = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return [np.roll(picture, 3 * k, axis=1) for k in range(30)]


def messy(home: Path) -> Path:
    """A folder of two classes, run and walk, as people have them."""
    run, walk, away = home / "run", home / "walk", home.parent / "away"
    for folder in (run, walk, run / "deeper", away / "more"):
        folder.mkdir(parents=True)
    whole_but_odd(run, walk)
    damaged(walk)
    # Twice.
    shutil.copy(run / "a.MP4", walk / "a copy.mp4")
    shutil.copy(run / "b.avi", run / "b again.avi")
    # Linked, loose, hidden, unknown.
    write_video(away / "more" / "linked.mp4", moving(28))
    (walk / "linked").symlink_to(away)
    (walk / "gone.mp4").symlink_to(away / "nowhere.mp4")
    write_video(home / "loose.mp4", greys([60]))
    for name in ("run/a.strange", "run/b.strange", "run/bare", "run/._a.mp4", "walk/notes.txt"):
        (home / name).write_text("?")
    (home / "readme.md").write_text("?")
    return home


def whole_but_odd(run: Path, walk: Path) -> None:
    for number, (name, codec) in enumerate(
        [
            *(("a.MP4", "libx264"), ("b.avi", "mpeg4"), ("c.mkv", "libx264"), ("d.webm", "libvpx")),
            *(("e.ts", "libx264"), ("f.vob", "mpeg2video"), ("g.m2v", "mpeg2video")),
            *(("h.f4v", "libx264"), ("i.wmv", "wmv2"), ("j.flv", "flv"), ("k.h264.mov", "mpeg4")),
        ]
    ):
        write_video(run / name, moving(number), codec=codec, rate=25)
    write_video(run / "deeper" / "l $x^$, m.mp4", moving(20))
    rotate_clockwise(write_video(run / "turned.mp4", moving(21)), 90)
    write_video(run / "one_frame.mp4", greys([77]))
    write_video(run / "x.mp4", moving(22)).rename(run / os.fsdecode(b"caf\xe9.mp4"))
    ticks = [0, 100, 200, 300, 400]
    write_packets(walk / "empty_chunks.avi", greys(LEVELS), [0, 1, 2, 5, 6])
    write_packets(walk / "late.mkv", greys(LEVELS), [t + 1300 for t in ticks], base=MS)
    write_packets(walk / "live.mkv", greys(LEVELS[::-1]), ticks, base=MS, muxer={"live": "1"})
    joined = write_video(walk / "joined.ts", moving(23), codec="mpeg2video", rate=25)
    joined.write_bytes(joined.read_bytes() * 2)
    write_packets(walk / "jump.mkv", greys(LEVELS), [0, 100, 200, 7_200_300, 7_200_400], base=MS)
    write_packets(walk / "still.mkv", greys(LEVELS), [0] * 5, base=MS)


def damaged(walk: Path) -> None:
    whole = write_video(walk / "whole.mp4", moving(24), muxer={"movflags": "faststart"})
    (walk / "cut.mp4").write_bytes(whole.read_bytes()[:-400])
    late = write_video(walk / "no_moov.mp4", moving(25))
    late.write_bytes(late.read_bytes()[:-600])
    for name, codec in (("cut.mkv", "libx264"), ("cut.avi", "mpeg4"), ("cut.webm", "libvpx")):
        path = write_video(walk / name, moving(26), codec=codec)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    hole = write_video(walk / "hole.avi", moving(27), codec="mpeg4", g="5")
    holed = bytearray(hole.read_bytes())
    holed[len(holed) // 2 : len(holed) // 2 + 4096] = bytes(4096)
    hole.write_bytes(holed)
    (walk / "empty.mp4").touch()
    (walk / "text.mp4").write_text("not found\n" * 40)
    with av.open(str(walk / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono"
        )
        silence.sample_rate = 44100
        container.mux([*stream.encode(silence), *stream.encode(None)])


def test_a_report_that_a_person_can_act_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = messy(tmp_path / "videos")
    assert main(["data", "check", str(home), "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert {bad["key"]: bad["reason"].split(":")[0].split(" after")[0] for bad in facts["bad"]} == {
        "walk/cut.avi": "cut off",
        "walk/cut.mkv": "cut off",
        "walk/cut.mp4": "damaged or cut off",
        "walk/cut.webm": "cut off",
        "walk/empty.mp4": "empty (0 bytes)",
        "walk/hole.avi": "damaged",
        "walk/no_moov.mp4": "cut off or never finished",
        "walk/sound.mp4": "no video stream",
        "walk/text.mp4": "damaged or not a video (invalid data found when processing input)",
    }
    # 16 under run with the copy, 6 odd ones under walk, the whole one, its copy, the linked one.
    assert (facts["videos"], facts["usable"]) == (34, 25)
    assert set(facts["remarks"]) == {"walk/jump.mkv", "walk/still.mkv"}
    assert [same["fault"] for same in facts["same"]] == ["under the labels run and walk", ""]
    assert facts["left_out"] == (
        "left out: 8 (2 of other kinds such as .md, 2 of unknown suffix such as .strange, "
        "1 videos beside the class folders such as loose.mp4, 1 hidden such as run/._a.mp4, "
        "1 without a suffix such as run/bare, 1 broken links such as walk/gone.mp4)"
    )
    assert main(["data", "check", str(home)]) == 1
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) < 400
    assert "  walk/hole.avi: damaged: zeros at byte " in out
    assert main(["data", "show", str(home), "--out", str(tmp_path / "sheet.png")]) == 0
