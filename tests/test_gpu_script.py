"""`benchmarks/gpu.sh`: its limits, and its logic on a CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.sh"
PARTS = ["triton", "step", "train", "search"]


def run(*flags: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPT), "--python", sys.executable, *map(str, flags)]
    return subprocess.run(command, capture_output=True, text=True)


def test_its_parts_take_at_most_eight_minutes() -> None:
    found = [line.split() for line in run("--list").stdout.splitlines()]
    assert [words[0] for words in found] == PARTS
    assert sum(int(words[1]) for words in found) < 8 * 60
    wrong = run("--fast")
    assert wrong.returncode == 2 and "unknown flag --fast" in wrong.stderr


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    found = run("--out", tmp_path / "out")
    assert found.returncode == 2 and found.stdout == "not run: torch sees no NVIDIA GPU here\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_dry_run_passes_every_part(tmp_path: Path) -> None:
    found = run("--dry", "--out", tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    log = (tmp_path / "run.txt").read_text()
    assert "it says nothing about a GPU" in log and "killed with a checkpoint" in log
    summary = [line.split() for line in log.strip().splitlines()[-len(PARTS) :]]
    assert [(words[0], words[-1]) for words in summary] == [(name, "passed") for name in PARTS]
