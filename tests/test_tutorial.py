"""Every command of docs/tutorial.md runs as it stands there, one after the other, in a shell."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from expand3d.core.errors import UserError
from expand3d.networks import get_family, get_preset
from expand3d.networks.weights.x3d_names import to_pytorchvideo
from expand3d.report.study.view import load_view
from tests.helpers.made_videos import write_video
from tests.helpers.waiting import HANGS, wait_for

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"(<!-- [^\n]* -->\n)?```console\n(.*?)```", flags=re.DOTALL)
KILLED = "<!-- killed after the first network -->"
#: Rows that a pixel moves by from frame to frame.
CLASSES = {"down": -3, "still": 0, "up": 3}
SIDE = 48


class Command(NamedTuple):
    """A line of the page for a shell, and True where it is killed on the way."""

    line: str
    killed: bool


def commands(text: str) -> list[Command]:
    """The commands of a page's blocks, lines that a backslash joins as one."""
    found = []
    for mark, block in BLOCK.findall(text):
        lines = block.replace("\\\n", " ").splitlines()
        assert all(line.startswith("$ ") for line in lines), block
        found += [Command(" ".join(line[2:].split()), mark.strip() == KILLED) for line in lines]
    return found


def test_the_page_tells_the_whole_story() -> None:
    lines = commands(PAGE.read_text(encoding="utf-8"))
    verbs = [command.line.split()[1] for command in lines]
    story = ["data", "data", "import", "run", "resume", "status", "report", "train", "eval"]
    assert verbs == [*story, "export", "predict"]
    assert all(command.line.startswith("expand3d ") for command in lines)
    assert [command.line.split()[1] for command in lines if command.killed] == ["run"]
    assert commands("```console\n$ a \\\n    b\n$ c\n```") == [("a b", False), ("c", False)]


def moving(name: str, seed: int, frames: int) -> list[np.ndarray]:
    """Noise that moves as its class says."""
    ground = np.random.default_rng(seed).integers(0, 255, (48, 8, 3))
    picture = np.kron(ground, np.ones((8, 8, 1))).astype(np.uint8)
    tops = [168 + CLASSES[name] * (number - frames // 2) for number in range(frames)]
    return [picture[top : top + SIDE, :SIDE] for top in tops]


def lay_out(folder: Path) -> None:
    """The files that the page asks for."""
    for label, name in enumerate(CLASSES):
        (folder / "videos" / name).mkdir(parents=True)
        for number in range(14):
            video = folder / "videos" / name / f"{name}{number:02d}.mp4"
            write_video(video, moving(name, 100 * label + number, 20))
    order = ["up", "still", "down", "still"]
    frames = [frame for n, name in enumerate(order) for frame in moving(name, 900 + n, 40)]
    write_video(folder / "long.mp4", frames)
    family = get_family("x3d")
    plan = family.resolve(get_preset("x3d-xs").genotype, num_classes=400)
    torch.manual_seed(1)
    state = to_pytorchvideo(family.build(plan).state_dict(), plan)  # type: ignore[arg-type]
    torch.save({"model_state": state}, folder / "X3D_XS.pyth")


def trained(folder: Path) -> bool:
    """True once a network of the study has its score."""
    try:
        view = load_view("gym", root=folder / "studies")
    except UserError:
        return False
    return any(trial.state == "complete" for trial in view.trials)


@pytest.mark.slow
def test_every_command_runs(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    lay_out(tmp_path)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "expand3d"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m expand3d "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "EXPAND3D_CACHE": str(tmp_path / "cache")}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for command in commands(PAGE.read_text(encoding="utf-8")):
        log = tmp_path / "log.txt"
        with log.open("w") as out:
            shell = subprocess.Popen(
                ["bash", "-c", command.line],
                cwd=tmp_path,
                env=env,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            if command.killed:
                wait_for(lambda: trained(tmp_path), process=shell, said=log.read_text)
                os.killpg(shell.pid, signal.SIGKILL)
            code = shell.wait(HANGS)
        wanted = -signal.SIGKILL if command.killed else 0
        assert code == wanted, f"{command.line}\n{log.read_text()}"

    view = load_view("gym", root=tmp_path / "studies")
    assert view.state == "finished" and len(view.trials) >= 4 and len(view.trained) == 1
    assert (tmp_path / "gym-report" / "index.html").is_file()
    scored = json.loads((tmp_path / "gym-eval" / "evaluation.json").read_text())
    assert scored["part"] == "test" and scored["seen_in_training"] == 0
    assert (scored["protocol"]["clips"], scored["protocol"]["crops"]) == (10, 3)
    assert {"model.onnx", "model-int8.onnx"} <= {p.name for p in (tmp_path / "gym-onnx").iterdir()}
    spans = list(csv.DictReader((tmp_path / "spans.csv").open()))
    assert spans and {row["label"] for row in spans} <= set(CLASSES)
    assert float(spans[-1]["end"]) == pytest.approx(160 / 30, abs=0.05)
    assert (tmp_path / "spans.srt").read_text().startswith("1\n")
