"""An exported folder, checked as its user would: `python check.py`, without expand3d."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from expand3d.core.recipe import get_profile
from expand3d.interop.formats import export
from expand3d.interop.network import ExportedNetwork
from expand3d.networks.families.x3d import FAMILY
from tests.helpers import torchvision_operators
from tests.helpers.x3d_cases import CASES, genotype_of, plan_of, randomise

pytestmark = pytest.mark.peers

CASE = CASES["odd depth and bottleneck, crop off the grid"]
#: A user has a torchvision that loads; here its operators are declared before the script runs.
RUN = """
import runpy, sys
kept = runpy.run_path({operators!r})["declare"]()
sys.path.insert(0, {folder!r})
runpy.run_path("check.py", run_name="__main__")
"""


def exported(folder: Path, *, trained: bool) -> Path:
    plan = plan_of(CASE, res2_shortcut_bn=True)
    weights = folder / "winner.safetensors"
    save_file(randomise(FAMILY.build(plan), seed=3).state_dict(), weights)
    network = ExportedNetwork(
        study="heron",
        trial=3,
        genotype=genotype_of(CASE),
        plan=plan,
        recipe=get_profile("final").to_json(),
        target_fps=30.0,
        classes=tuple("abcdefghijk"),
        weights=weights if trained else None,
    )
    export(network, target="pytorchvideo", out=folder / "out")
    return folder / "out"


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    code = RUN.format(operators=torchvision_operators.__file__, folder=str(folder))
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )


def test_check_agrees(tmp_path: Path) -> None:
    result = check(exported(tmp_path, trained=True))
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "ok"


def test_check_notices_a_changed_weight(tmp_path: Path) -> None:
    folder = exported(tmp_path, trained=True)
    weights = load_file(folder / "weights.safetensors")
    weights["blocks.3.res_blocks.1.branch2.norm_b.0.bias"] += 0.1
    save_file(weights, folder / "weights.safetensors")
    result = check(folder)
    assert result.returncode == 1, result.stderr
    assert result.stdout.splitlines()[-1] == "DIFFERS"


def test_check_of_an_architecture_alone(tmp_path: Path) -> None:
    result = check(exported(tmp_path, trained=False))
    assert result.returncode == 0, result.stderr
    assert "no weights were kept" in result.stdout
