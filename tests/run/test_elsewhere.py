"""A search whose budget is in another device's time, by the table that was brought from there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from expand3d.core.errors import BudgetError, ConfigError
from expand3d.report.study.view import load_view
from expand3d.run.driver import run_study
from expand3d.run.prepare.goal import find_goal
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record
from tests.helpers.elsewhere import by_rule, plans, write_table

PLANS = plans(2)


@pytest.fixture
def elsewhere(config: StudyConfig, tmp_path: Path) -> StudyConfig:
    file = write_table(tmp_path / "pi5.csv", PLANS)
    budget = f"{1.4 * by_rule(PLANS[0]):.3f}ms@pi5"
    return dataclasses.replace(config, budget=budget, latencies=str(file))


@pytest.mark.usefixtures("light")
def test_a_search_by_a_table_needs_no_clock_here(
    elsewhere: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expand3d.run.runner.measure_latency", None)
    monkeypatch.setattr("expand3d.run.budget.measure_latency", None)
    run_study(elsewhere)
    record = Record.open("tiny", root=elsewhere.root)
    assert len(record.trials()) >= 3
    for trial in record.trials():
        latency = trial.candidate.latency
        assert latency is not None and (latency.device, latency.threads) == ("pi5", 4)
        known = trial.candidate.digest in {plan.digest for plan in PLANS}
        assert (latency.runs > 0) == known
        assert latency.median == pytest.approx(by_rule(trial.candidate.plan), rel=1e-3)
        assert latency.median <= 1.4 * by_rule(PLANS[0])
    # A record is read where the table is no more.
    Path(str(elsewhere.latencies)).unlink()
    assert load_view("tiny", root=elsewhere.root).timed_on == "Cortex-A76, 4 threads"


def test_a_table_and_a_budget_belong_together(elsewhere: StudyConfig) -> None:
    with pytest.raises(BudgetError, match="'pi5' is no device"):
        dataclasses.replace(elsewhere, latencies=None, budget="25ms@pi5")
    with pytest.raises(ConfigError, match="name it in the budget, such as 25ms@pi5"):
        find_goal(dataclasses.replace(elsewhere, budget="25ms@cpu"))
    with pytest.raises(ConfigError, match="no latencies of 'pi4'; it has those of pi5"):
        find_goal(dataclasses.replace(elsewhere, budget="25ms@pi4"))
