"""`expand3d predict` on files, folders and a pipe, with a network that tells dark from bright."""

from __future__ import annotations

import csv
import json
import os
import threading
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from expand3d.cli.main import main
from expand3d.data.decode import decode, probe
from expand3d.interop.json_folder import load_export
from expand3d.run.model import Trained
from tests.helpers.exported import TINY, exported
from tests.helpers.made_videos import greys, write_video

NAMES = ("dark", "bright")
DARK, BRIGHT = 40, 220


class Eyes:
    """Probabilities by the mean brightness alone."""

    def probabilities(self, views: Sequence[torch.Tensor]) -> torch.Tensor:
        (clips,) = views
        bright = (clips.double().mean(dim=(1, 2, 3, 4)) - DARK) / (BRIGHT - DARK)
        bright = bright.clamp(0.02, 0.98)
        return torch.stack([1 - bright, bright], dim=1)


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trained, "answers", lambda self, **options: Eyes())


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of 2 frames 3 apart: 0.2 s at 30 frames a second."""
    return exported(tmp_path_factory.mktemp("network") / "net", classes=NAMES, genotype=TINY)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second dark, one bright, half a dark one."""
    levels = [DARK] * 30 + [BRIGHT] * 30 + [DARK] * 15
    return write_video(tmp_path_factory.mktemp("long") / "long.mp4", greys(levels))


def words(network: Path, *more: str | Path) -> list[str]:
    return ["predict", str(network), *map(str, more), "--threads", "1", "--device", "cpu"]


def test_spans_of_an_untrimmed_video(
    eyes: None, network: Path, long: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outs = [tmp_path / name for name in ("spans.csv", "spans.json", "spans.srt")]
    flags = [word for path in outs for word in ("--out", path)]
    more = ["--window", "0.4s", "--stride", "0.1s"]
    assert main(words(network, long, *more, *flags)) == 0
    said = capsys.readouterr()
    rows = list(csv.DictReader(outs[0].open()))
    assert [row["label"] for row in rows] == ["dark", "bright", "dark"]
    edges = [float(row["end"]) for row in rows]
    assert edges == pytest.approx([1, 2, 2.5], abs=0.2) and float(rows[0]["start"]) == 0
    assert edges[-1] == 2.5
    assert json.loads(outs[1].read_text())[0]["spans"][1]["label"] == "bright"
    assert outs[2].read_text().startswith("1\n00:00:00,000 --> 00:00:0")
    assert "bright" in said.out and "times real time" in said.err


def test_a_background_and_a_threshold_leave_moments_out(
    eyes: None, network: Path, long: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--window", "0.4s", "--stride", "0.1s", "--background", "dark", "--threshold", "0.9"]
    assert main([*words(network, long, *more), "--json"]) == 0
    ((span,),) = [each["spans"] for each in json.loads(capsys.readouterr().out)]
    assert span["label"] == "bright" and 1 <= span["start"] < span["end"] <= 2
    assert span["score"] > 0.9


def test_files_and_folders_are_labelled_whole(
    eyes: None, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    write_video(tmp_path / "in" / "a.mp4", greys([DARK] * 9))
    write_video(tmp_path / "in" / "deep" / "b.mp4", greys([BRIGHT] * 9))
    (tmp_path / "in" / "notes.txt").write_text("no video")
    out = tmp_path / "labels.csv"
    assert main(words(network, tmp_path / "in", "--clips", "2", "--out", out)) == 0
    rows = list(csv.DictReader(out.open()))
    assert [(Path(row["source"]).name, row["label"]) for row in rows] == [
        ("a.mp4", "dark"),
        ("b.mp4", "bright"),
    ]
    assert rows[0]["end"] == "0.300" and "2 videos of 0.6 s" in capsys.readouterr().err


def test_the_network_answers_as_it_does_by_hand(
    network: Path, long: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The window from 0.9 s on: frames 27 and 30, the square in the middle, and its features."""
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "f.parquet"
    more = ["--window", "0.2s", "--stride", "0.1s", "--json", "--features", str(out)]
    assert main(words(network, long, *more)) == 0
    (found,) = json.loads(capsys.readouterr().out)
    (window,) = [each for each in found["windows"] if each["start"] == 0.9]
    frames = torch.from_numpy(decode(long, fps=30, short_side=None)[[27, 30], :, 8:40])
    pixels = ((frames.float() / 255 - 0.45) / 0.225).permute(3, 0, 1, 2)[None]
    model = load_export(network).build()
    kept: list[torch.Tensor] = []
    model.head.fc.register_forward_pre_hook(lambda module, x: kept.append(x[0].flatten()))
    with torch.no_grad():
        wanted = model(pixels)[0].softmax(0).tolist()
    given = {each["label"]: each["score"] for each in window["top"]}
    assert [given[name] for name in NAMES] == pytest.approx(wanted, abs=1e-5)
    table = parquet.read_table(out).to_pylist()
    assert len(table) == len(found["windows"])
    (row,) = [row for row in table if row["start"] == pytest.approx(0.9)]
    assert row["features"] == pytest.approx(kept[0].tolist(), abs=1e-4)


def test_labels_are_drawn_on_the_video(
    eyes: None, network: Path, long: Path, tmp_path: Path
) -> None:
    out = tmp_path / "seen.mp4"
    assert main(words(network, long, "--window", "0.2s", "--annotate", out)) == 0
    before, after = probe(long), probe(out)
    assert (after.frames, after.width, after.height) == (75, before.width, before.height)
    drawn = decode(out, fps=30, short_side=None)
    assert abs(float(drawn[45, :8].mean()) - BRIGHT) < 8  # the top is as it was
    assert drawn[45, -12:].min() < 60  # a black bar at the bottom
    assert [path.name for path in tmp_path.iterdir()] == ["seen.mp4"]


def stream_into(pipe: Path, levels: Sequence[int], *, rate: int = 30) -> None:
    """Write frames into a pipe as they would come from a camera, one after the other."""
    # Opened by Python, which lets other threads run until somebody reads.
    with open(pipe, "wb", buffering=0) as file, av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=rate, options={"bf": "0"})
        stream.height, stream.width = 32, 48
        stream.pix_fmt = "yuv420p"
        for number, pixels in enumerate(greys(levels)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
            time.sleep(1 / rate)
        container.mux(stream.encode(None))


def test_a_pipe_is_read_live(
    eyes: None, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe, out = tmp_path / "pipe", tmp_path / "spans.csv"
    os.mkfifo(pipe)
    levels = [DARK] * 40 + [BRIGHT] * 40
    writer = threading.Thread(target=stream_into, args=(pipe, levels), daemon=True)
    writer.start()
    more = ["--window", "0.4s", "--stride", "0.2s", "--out", out]
    assert main(words(network, pipe, *more)) == 0
    writer.join()
    said = capsys.readouterr()
    shown = [line for line in said.out.splitlines() if "delay" in line]
    assert shown and all(" ms" in line for line in shown)
    rows = list(csv.DictReader(out.open()))
    assert [row["label"] for row in rows] == ["dark", "bright"]
    assert float(rows[-1]["end"]) == pytest.approx(80 / 30, abs=0.1)


def test_mistakes_are_one_line(
    network: Path, long: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.mp4").write_bytes(long.read_bytes()[:500])
    cases: list[tuple[list[Any], str]] = [
        (["no/such.mp4"], "there is no such file, folder or camera"),
        ([tmp_path / "empty"], "no video in this folder"),
        ([tmp_path / "broken.mp4"], "broken.mp4"),
        (["63"], "camera 63: there is no /dev/video63"),
        ([long, "--window", "soon"], "is not a duration"),
        ([long, "--window", "1s", "--stride", "2s"], "leaves out frames"),
        ([long, "--background", "brigth"], "did you mean 'bright'"),
        ([long, "--threshold", "2"], "must lie in [0, 1]"),
        ([long, "--out", "labels.txt"], "must end in .csv, .json, .srt"),
        ([long, long, "--out", tmp_path / "a.srt"], "an .srt is of one video"),
        ([long, long, "--annotate", tmp_path / "a.mp4"], "draws on one file"),
        ([long, "--annotate", tmp_path / "a.avi"], "must end in .mp4"),
        ([long, "--features", tmp_path / "a.csv"], "must end in .parquet"),
        ([long, "--out", tmp_path / "none" / "a.csv"], "there is no folder"),
    ]
    for more, said in cases:
        assert main(words(network, *more)) == 2, more
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
