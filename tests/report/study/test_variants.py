"""A beam and compound growth as the report shows them: who grew from whom."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest

from expand3d.report.study.figure import draw, symbol
from expand3d.report.study.status import status_json
from expand3d.report.study.view import StudyView
from expand3d.report.study.write import write_report
from expand3d.search.strategy import expand_all
from tests.helpers.studies import expanded, scored, strategy_of


@pytest.fixture(scope="module")
def view() -> StudyView:
    """A beam of three networks, and compound growth beside single axes."""
    strategy = dataclasses.replace(strategy_of("0.15GFLOPs"), beam=3, growth="both")
    trials = tuple(expand_all(strategy, lambda c: scored(c, clips=60, seed=3)))
    return dataclasses.replace(
        expanded("0.05GFLOPs", clips=30),
        budget=strategy.budget,
        trials=trials,
        steps=strategy.steps(trials),
        best=strategy.result(trials),
        final=None,
    )


def test_the_path_is_a_line_of_descent(view: StudyView) -> None:
    digests = {trial.number: trial.candidate.digest for trial in view.trials}
    assert view.path[0] == 0 and len(view.path) == len(view.steps)
    for before, after in zip(view.lineage, view.lineage[1:], strict=False):
        assert after.candidate.parent == digests[before.number]
    assert view.lineage[-1].candidate.digest == view.steps[-1].ranked[0].candidate.digest


def test_the_table_names_every_parent(view: StudyView, tmp_path: Path) -> None:
    write_report(view, tmp_path)
    table = pd.read_csv(tmp_path / "frontier.csv").set_index("number")
    assert table["parent"].isna().sum() == 1  # the base has none
    for number, parent in table["parent"].dropna().items():
        assert table.loc[parent, "step"] == table.loc[number, "step"] - 1
    assert table["parent"].nunique() > len(view.steps) - 1
    assert "compound" in set(table["axis"])
    # The page compares each network with the one that it grew from: one axis at a time.
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    kept = [len(step.kept) for step in view.steps]
    assert page.count('class="won"') == len(kept)
    assert page.count('class="kept"') == sum(kept) - len(kept)
    rows = re.findall(r"<td>gamma_[dwb] after [^<]*</td><td>([^<]*)</td>", page)
    assert len(rows) > 6
    assert all(change.count("→") == 1 for change in rows)


def test_a_line_leads_from_every_parent_to_its_candidates(view: StudyView) -> None:
    (axes,) = draw(view).axes
    place = {
        t.candidate.digest: (t.candidate.macs / 1e9, 100 * view.scores[t.number].top1)
        for t in view.complete
    }
    wanted = {
        (place[candidate.parent], place[candidate.digest])
        for step in view.steps[1:]
        for candidate in step.offer.candidates
        if candidate.digest in place and candidate.parent
    }
    drawn = {
        tuple(zip(*line.get_data(), strict=True))
        for line in axes.lines
        if len(line.get_data()[0]) == 2
    }
    assert len(wanted) > len(view.steps)
    assert wanted <= drawn


def test_names_of_what_grew(view: StudyView) -> None:
    candidates = [c for step in view.steps for c in step.offer.candidates]
    names = {c.axis: symbol(c) for c in candidates if not c.merged}
    assert names[None] == "base" and names["compound"] == "compound"
    assert names["gamma_w"] == r"$\gamma_{w}$"
    rows = status_json(view)["trials"]
    assert rows[0]["parent"] is None and all(row["parent"] is not None for row in rows[1:])
