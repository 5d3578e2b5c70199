"""Every family expanded on the bundled clips to twice its base, through record and report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from expand3d.core.genotype import Plan
from expand3d.core.plugins import FAMILIES
from expand3d.core.result import Training
from expand3d.data.source import BUNDLED
from expand3d.networks import get_family
from expand3d.report.study.view import load_view
from expand3d.report.study.write import write_report
from expand3d.run.driver import run_study
from expand3d.training.tasks import classify
from tests.helpers.study_config import tiny

pytestmark = pytest.mark.slow


def surer_the_dearer(
    plan: Plan, *args: Any, forward_macs: int, train: Any = classify.train, **how: Any
) -> Training:
    """A real training; of which network is best one step says nothing, so that costs do."""
    training: Training = train(plan, *args, forward_macs=forward_macs, **how)
    scores = tuple(score._replace(nll=1e6 / forward_macs) for score in training.scores)
    return dataclasses.replace(training, scores=scores)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_family_is_expanded_to_a_tiny_budget(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EXPAND3D_CACHE", raising=False)  # the bundled clips are decoded once
    monkeypatch.setattr(classify, "train", surer_the_dearer)
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
    assert view.best is not None and 1.8 * base < view.best.candidate.macs <= 2.1 * base
    assert {trial.candidate.genotype.family for trial in view.trials} == {name}
    files = write_report(view, tmp_path / "report")
    assert {path.name for path in files} >= {"frontier.csv", "frontier.png", "index.html"}
