"""A search by ONNX Runtime's own clock, from its base to a winner that is measured again."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from expand3d.cli.main import main
from expand3d.interop.verify import absent
from expand3d.measure.latency import measure_latency
from expand3d.networks import get_family
from expand3d.run.driver import run_study
from expand3d.study.config import StudyConfig

RUNTIME = "onnxruntime"
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "winner_latency.py"


@pytest.mark.slow
@pytest.mark.skipif(bool(absent(("onnx", "onnxscript", RUNTIME))), reason="needs onnxruntime")
def test_it_ends_within_the_budget_and_a_new_process_measures_the_same(
    config: StudyConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    family = get_family("x3d")
    smallest = measure_latency(family.resolve(family.base), device=RUNTIME, threads=1)
    budget = 3 * smallest.median
    timed = dataclasses.replace(config, budget=f"{budget:.1f}ms@{RUNTIME}")
    outcome = run_study(timed)
    assert outcome is not None and outcome.finished
    assert main(["status", "tiny", "--root", timed.root, "--json"]) == 0
    best = json.loads(capsys.readouterr().out)["best"]["latency"]
    assert (best["device"], best["threads"]) == (RUNTIME, 1)
    assert best["median"] <= budget and "onnxruntime" in best["setting"]
    words = [sys.executable, str(BENCHMARK), "tiny", "--root", timed.root, "--runs", "3"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr  # within 20%
