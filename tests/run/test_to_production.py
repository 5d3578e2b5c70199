"""From a network to spans of an untrimmed video: train, a kill, eval, ONNX, predict."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from expand3d.cli.main import main
from expand3d.core.process import environment
from expand3d.core.spans import Span, overlap
from tests.helpers.exported import exported
from tests.helpers.killed import KILLED
from tests.helpers.made_videos import write_video

SIDE, FRAMES = 40, 30


def moving(direction: int, seed: int) -> list[np.ndarray]:
    """Noise that moves up (0) or stays (1) for a second."""
    rng = np.random.default_rng(seed)
    noise = np.kron(rng.integers(0, 255, (40, SIDE // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    starts = [4 * n if direction == 0 else 40 for n in range(FRAMES)]
    return [noise[start : start + SIDE] for start in starts]


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXPAND3D_CACHE", str(tmp_path / "cache"))
    for number in range(32):
        folder = tmp_path / "videos" / ("moves", "stays")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        write_video(folder / f"clip{number:02d}.mp4", moving(number % 2, number))
    return tmp_path / "videos"


@pytest.mark.slow
def test_most_spans_of_a_joined_video_are_found(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript")
    net, out, onnx = exported(tmp_path / "net"), tmp_path / "out", tmp_path / "onnx"
    train = ["train", str(net), "--data", str(videos), "--out", str(out), "--clip-visits", "1920"]
    train += ["--batch", "16", "--accumulate", "1", "--lr", "0.1", "--ema", "0.9"]
    train += ["--recipe", "dropout=0.0", "--recipe", "test_views=2"]
    train += ["--threads", "1", "--device", "cpu"]
    run = [sys.executable, "-c", KILLED, *train]
    killed = subprocess.run(run, env=environment(), stderr=subprocess.DEVNULL)
    assert killed.returncode == -signal.SIGKILL and (out / "checkpoint.pt").exists()
    assert main(train) == 0
    where = ["--threads", "1", "--device", "cpu"]
    for crops in ("1", "3"):
        capsys.readouterr()
        assert main(["eval", str(out), "--crops", crops, "--json", *where]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["part"] == "test" and found["seen_in_training"] == 0
        assert found["top1"] >= 0.8, found

    from expand3d.interop.formats import export
    from expand3d.interop.json_folder import load_export

    export(load_export(out), target="onnx", out=onnx)
    # Two neighbours of one class are one span: 2 s stay, 1 s moves, 1 s stays, 2 s move.
    order = [1, 1, 0, 1, 0, 0]
    frames = [frame for n, label in enumerate(order) for frame in moving(label, 100 + n)]
    long = write_video(tmp_path / "long.mp4", frames)
    spans = tmp_path / "spans.csv"
    sliding = ["--window", "0.4s", "--stride", "0.1s", "--out", str(spans)]
    assert main(["predict", str(onnx), str(long), *sliding, *where]) == 0
    rows = [
        (row["label"], Span(float(row["start"]), float(row["end"]), 0, 1))
        for row in csv.DictReader(spans.open())
    ]
    true = [("stays", 0, 2), ("moves", 2, 3), ("stays", 3, 4), ("moves", 4, 6)]
    hits = sum(
        any(label == name and overlap(span, Span(a, b, 0, 1)) >= 0.5 for label, span in rows)
        for name, a, b in true
    )
    assert hits >= 3, rows
