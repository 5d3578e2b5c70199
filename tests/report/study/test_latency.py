"""A study whose budget is a time: its picture, page and tables are in milliseconds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from expand3d.core.measured import Latency
from expand3d.core.quantity import LATENCY
from expand3d.core.trial import Trial
from expand3d.report.study.figure import draw
from expand3d.report.study.status import status_json
from expand3d.report.study.table import rows
from expand3d.report.study.view import StudyView
from expand3d.report.study.write import write_report
from tests.helpers.studies import expanded


@pytest.fixture(scope="module")
def view() -> StudyView:
    """A finished expansion, as if 10 million multiply-adds took a millisecond; to 30 ms."""

    def clocked(trial: Trial) -> Trial:
        median = trial.candidate.macs / 1e7
        latency = Latency(median, 0.8 * median, 1.5 * median, 40, "cpu", "abacus", 2, "float32")
        changed = {"latency": latency, "price": latency.nanoseconds}
        return dataclasses.replace(trial, candidate=dataclasses.replace(trial.candidate, **changed))

    done = expanded("0.3GFLOPs")
    trials = tuple(map(clocked, done.trials))
    best = next(t for t in trials if done.best and t.number == done.best.number)
    return dataclasses.replace(
        done,
        budget=30_000_000,
        budget_text="30ms",
        quantity=LATENCY,
        trials=trials,
        steps=(),
        best=best,
    )


def test_the_picture_is_in_milliseconds_with_their_spread(view: StudyView) -> None:
    (axes,) = draw(view).axes
    assert axes.get_xlabel().startswith("ms per clip") and "abacus, 2 threads" in axes.get_xlabel()
    assert axes.get_title(loc="left").endswith("within 30 ms")
    low, high = axes.get_xlim()
    base = view.trials[0].candidate
    assert low < base.macs / 1e7 and 30 < high < 60
    bars = axes.containers[0]
    places = sorted(bars.lines[0].get_xdata())
    assert places == pytest.approx(sorted(t.candidate.macs / 1e7 for t in view.complete))
    assert bars.has_xerr and bars.has_yerr


def test_the_frontier_is_the_same_where_time_follows_the_arithmetic(view: StudyView) -> None:
    plain = expanded("0.3GFLOPs")
    assert [t.number for t in view.frontier] == [t.number for t in plain.frontier]
    # Decades of cost do not depend on its unit: 30 ms stand for 0.3 G.
    assert view.hypervolume == pytest.approx(plain.hypervolume)


def test_tables_and_page_say_what_was_measured(view: StudyView, tmp_path: Path) -> None:
    row, trial = rows(view)[0], view.trials[0]
    median = trial.candidate.macs / 1e7
    assert row["latency_ms"] == median
    assert (row["latency_low_ms"], row["latency_high_ms"]) == (0.8 * median, 1.5 * median)
    said = status_json(view)["trials"][0]
    assert said["latency"]["hardware"] == "abacus" and said["memory"] == trial.cost["memory"]
    write_report(view, tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "budget 30ms = 30 ms a clip" in page and "decades of milliseconds" in page
    assert f"{median:.3g} ms" in page
