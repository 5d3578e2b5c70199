"""Every family expanded on the bundled clips to twice its base, through record and report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from expand3d.core.plugins import FAMILIES
from expand3d.data.source import BUNDLED
from expand3d.networks import get_family
from expand3d.report.study.view import load_view
from expand3d.report.study.write import write_report
from expand3d.run.driver import run_study
from tests.helpers.study_config import tiny

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_family_is_expanded_to_a_tiny_budget(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EXPAND3D_CACHE", raising=False)  # the bundled clips are decoded once
    family = get_family(name)
    base = family.cost(family.resolve(family.base, num_classes=8)).macs
    config = dataclasses.replace(
        tiny(Path(BUNDLED), tmp_path / "studies"),
        data=BUNDLED,
        family=name,
        budget=f"{2.1 * base / 1e6:.1f}M",
        recipe={"clip_visits": 8, "batch": 8, "bn_batch": 8, "test_views": 1},
    )
    outcome = run_study(config)
    assert outcome is not None and outcome.finished
    view = load_view("tiny", root=config.root)
    assert [trial.state for trial in view.trials] == ["complete"] * len(view.trials)
    assert len(view.trials) >= 4  # the base and at least three axes
    # One step of training says nothing: the best may be any of them, the base too.
    costs = [trial.candidate.macs for trial in view.trials]
    assert 1.8 * base < max(costs) <= 2.1 * base
    assert view.best is not None and view.best.candidate.macs in costs
    assert {trial.candidate.genotype.family for trial in view.trials} == {name}
    files = write_report(view, tmp_path / "report")
    assert {path.name for path in files} >= {"frontier.csv", "frontier.png", "index.html"}
