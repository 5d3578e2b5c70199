"""`expand3d eval`: equal to the protocol written out by hand, its files, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from expand3d.cli.main import main
from expand3d.data.decode import decode
from expand3d.data.hashes import sha256
from expand3d.interop.json_folder import load_export
from tests.helpers.exported import exported
from tests.helpers.made_videos import write_video

CLIPS = 12


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of several sizes and lengths at 25 frames a second: no two views are alike."""
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(5)
    rows = [["path", "label_name", "split"]]
    for number in range(CLIPS):
        length, height, width = 16 + number, 36 + 2 * number, 44 + 4 * (number % 3)
        small = rng.integers(0, 255, (length, height // 4, width // 4, 3))
        frames = [np.kron(frame, np.ones((4, 4, 1))).astype(np.uint8) for frame in small]
        write_video(folder / f"clip{number}.mp4", frames, rate=25)
        split = "test" if number < 6 else "val" if number < 9 else "train"
        rows.append([f"clip{number}.mp4", f"class{number % 3}", split])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It knows a class more than the videos have, in another order."""
    classes = ("class2", "other", "class0", "class1")
    return exported(tmp_path_factory.mktemp("network") / "net", classes=classes)


def words(network: Path, videos: Path, *more: str) -> list[str]:
    return ["eval", str(network), "--data", str(videos), "--threads", "1", "--device", "cpu", *more]


def by_hand(model: torch.nn.Module, video: Path, *, crops: int) -> torch.Tensor:
    """The mean softmax of four clips of PySlowFast's; of 2 frames 3 apart at 30 a second."""
    size = {1: 32, 3: 36}[crops]  # 128/112 of 32 is 36.6
    whole = torch.from_numpy(decode(video, fps=25, short_side=None)).permute(0, 3, 1, 2).float()
    height, width = whole.shape[2:]
    resized = interpolate(whole, size=(size, int(width / height * size)), mode="bilinear").round()
    shares = []
    span = 2 * 3 / 30 * 25
    for clip in range(4):
        start = max(len(whole) - span, 0) * clip / 4
        frames = resized[[int(start), int(start + span - 1)]]
        right = resized.shape[3] - size
        for left in {1: [(right + 1) // 2], 3: [0, (right + 1) // 2, right]}[crops]:
            view = (frames[..., left : left + size] / 255 - 0.45) / 0.225
            with torch.no_grad():
                logits = model(view.permute(1, 0, 2, 3)[None])
            shares.append(logits[0].double().softmax(0))
    return torch.stack(shares).mean(0)


@pytest.mark.parametrize("crops", [1, 3])
def test_it_is_the_protocol_by_hand(
    network: Path, videos: Path, tmp_path: Path, crops: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    more = ["--part", "test", "--clips", "4", "--crops", str(crops), "--json", "--out", str(out)]
    assert main(words(network, videos, *more)) == 0
    found = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader((out / "clips.csv").open()))
    assert [row["clip"] for row in rows] == [f"clip{number}.mp4" for number in range(6)]
    right, loss = 0, 0.0
    exported_network = load_export(network)
    assert (exported_network.plan.frames, exported_network.plan.stride) == (2, 3)
    model = exported_network.build()
    for number, row in enumerate(rows):
        wanted = by_hand(model, videos.parent / f"clip{number}.mp4", crops=crops)
        names = ("class2", "other", "class0", "class1")
        given = [float(row[f"p {name}"]) for name in names]
        assert given == pytest.approx(wanted.tolist(), abs=1e-5)
        true = names.index(f"class{number % 3}")
        right += int(wanted.argmax()) == true
        loss -= float(wanted[true].log())
        assert row["predicted"] == names[int(wanted.argmax())]
    assert found["top1"] == pytest.approx(right / 6)
    assert found["nll"] == pytest.approx(loss / 6, rel=1e-4)
    assert found["protocol"]["views"] == "pyslowfast" and found["top5"] is None


def test_the_other_rule_reads_other_frames(
    network: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for rule in ("pyslowfast", "mmaction2"):
        assert main(words(network, videos, "--views", rule, "--clips", "3", "--json")) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[1]["protocol"]["views"] == "mmaction2"
    assert found[0]["nll"] != found[1]["nll"] and found[0]["clips"] == CLIPS


def test_tables_and_pictures_are_written(
    network: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(words(network, videos, "--clips", "1", "--calibrate", "--out", str(out))) == 0
    said = capsys.readouterr().out
    for text in ("top-1", "mean class accuracy", "at temperature", "fitted on 3 validation clips"):
        assert text in said
    assert {path.name for path in out.iterdir()} == {
        *("evaluation.json", "clips.csv", "classes.csv", "confused.png"),
        *("confusion.png", "confusion.svg"),
    }
    classes = list(csv.DictReader((out / "classes.csv").open()))
    assert sum(int(row["clips"]) for row in classes) == CLIPS and len(classes) == 3
    kept = json.loads((out / "evaluation.json").read_text())
    assert kept["temperature"] > 0 and kept["fitted_on"] == 3
    assert kept["nll_after"] is not None and len(kept["mean_class_interval"]) == 2
    assert main(words(network, videos, "--out", str(out))) == 2
    assert "is not empty" in capsys.readouterr().err


def test_clips_that_trained_the_network_are_refused(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = [sha256(videos.parent / f"clip{number}.mp4")[:16] for number in (0, 7)]
    classes = ("class0", "class1", "class2")
    network = exported(tmp_path / "net", classes=classes, provenance={"training_clips": seen})
    assert main(words(network, videos, "--part", "test", "--clips", "1")) == 2
    assert "1 of the 6 clips trained this network, such as clip0.mp4" in capsys.readouterr().err
    more = ["--part", "test", "--clips", "1", "--json", "--allow-seen"]
    assert main(words(network, videos, *more)) == 0
    assert json.loads(capsys.readouterr().out)["seen_in_training"] == 1


def test_what_cannot_be_evaluated(
    network: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = exported(tmp_path / "few", classes=("class0", "klass1"))
    bare = exported(tmp_path / "bare", weights=False)
    nameless = exported(tmp_path / "nameless", classes=())
    (tmp_path / "text.onnx").write_text("no network")
    for command, said in (
        (words(few, videos), "has a class 'class1' that"),
        (words(bare, videos), "has no weights"),
        (words(nameless, videos), "does not say which classes"),
        (words(tmp_path / "text.onnx", videos), "is no ONNX file"),
        (words(tmp_path / "gone.onnx", videos), "there is no such file"),
        (words(tmp_path / "gone/net", videos), "gone"),
        (["eval", "nowhere"], "no study"),
        (["eval", str(network)], "--data is needed"),
        (words(network, tmp_path / "none"), "none"),
        (words(network, videos, "--views", "slowfast"), "must be one of pyslowfast, mmaction2"),
    ):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1


def test_a_video_that_cannot_be_read_is_named_or_left_out(
    network: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "class0").mkdir()
    (tmp_path / "class1").mkdir()
    good = videos.parent / "clip0.mp4"
    (tmp_path / "class0" / "good.mp4").write_bytes(good.read_bytes())
    (tmp_path / "class1" / "bad.mp4").write_bytes(good.read_bytes()[:900])
    assert main(words(network, tmp_path, "--clips", "1")) == 2
    assert "bad.mp4" in capsys.readouterr().err
    assert main(words(network, tmp_path, "--clips", "1", "--skip-bad", "--json")) == 0
    said = capsys.readouterr()
    found: dict[str, Any] = json.loads(said.out)
    assert found["clips"] == 1 and list(found["skipped"]) == ["class1/bad.mp4"]


@pytest.mark.slow
def test_an_onnx_file_has_the_same_scores(
    network: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript")
    from expand3d.interop.formats import export

    export(load_export(network), target="onnx", out=tmp_path / "onnx", options={"pixels": True})
    found = []
    for path in (network, tmp_path / "onnx"):
        assert main(words(path, videos, "--clips", "2", "--json")) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["nll"] == pytest.approx(found[1]["nll"], rel=1e-4)
