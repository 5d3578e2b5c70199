"""The four files of a report, on a study whose scores are drawn instead of trained."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pandas as pd
import pytest

from expand3d.core.errors import StudyError
from expand3d.networks.families.x3d import PRESETS
from expand3d.report.study.table import rows
from expand3d.report.study.view import StudyView
from expand3d.report.study.write import write_report
from tests.helpers.studies import expanded


@pytest.fixture(scope="module")
def view() -> StudyView:
    return expanded()


@pytest.fixture(scope="module")
def folder(view: StudyView, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "new"
    assert [path.name for path in write_report(view, out)] == [
        "frontier.csv",
        "frontier.png",
        "frontier.svg",
        "index.html",
    ]
    return out


def test_view_knows_path_frontier_and_chance(view: StudyView) -> None:
    assert view.path[0] == 0
    assert len(view.path) == len(view.steps)
    costs = [trial.candidate.macs for trial in view.frontier]
    tops = [view.scores[trial.number].top1 for trial in view.frontier]
    assert costs == sorted(costs) and tops == sorted(tops)
    assert view.chance == pytest.approx(1 / 6)
    assert view.hypervolume > 0


def test_nearest_preset_is_the_nearest_in_ratio(view: StudyView) -> None:
    # 0.3 GMACs: X2D (0.02) has no printed accuracy, X3D-XS costs 0.605.
    found = view.nearest_preset()
    assert found is not None
    assert found[0] is PRESETS["x3d-xs"]
    assert round(found[1] / 1e9, 4) == 0.6053
    larger = dataclasses.replace(view, best=None, budget=5 * 10**9).nearest_preset()
    assert larger is not None and larger[0] is PRESETS["x3d-m"]


def test_final_p_value_is_of_the_final_clips(view: StudyView) -> None:
    assert view.final is not None
    hits = sum(score.rank == 0 for score in view.final.training.scores)
    assert view.final.hits == hits
    assert view.final_p_value is not None and view.final_p_value < 1e-6
    assert dataclasses.replace(view, final=None).final_p_value is None


def test_csv_has_a_row_per_trial_and_keeps_whole_numbers(view: StudyView, folder: Path) -> None:
    table = pd.read_csv(folder / "frontier.csv")
    assert list(table["number"]) == [trial.number for trial in view.trials]
    assert list(table["macs"]) == [trial.candidate.macs for trial in view.trials]
    assert set(table[table["on_path"]]["number"]) == set(view.path)
    assert set(table[table["on_frontier"]]["number"]) == {t.number for t in view.frontier}
    assert {"gamma_t", "gamma_w", "top1_ci_low", "training_macs", "seconds"} <= set(table)
    failed = table[table["state"] == "failed"]
    assert len(failed) == 1
    assert failed["top1"].isna().all() and failed["reason"].notna().all()


def test_rows_do_not_invent_scores(view: StudyView) -> None:
    failed = next(row for row in rows(view) if row["state"] == "failed")
    assert failed["top1"] is None and failed["nll"] is None
    assert not failed["on_frontier"]


def test_pictures_are_pictures(folder: Path) -> None:
    assert (folder / "frontier.png").read_bytes().startswith(b"\x89PNG")
    root = ElementTree.parse(folder / "frontier.svg").getroot()
    assert root.tag.endswith("svg")


def test_the_same_study_gives_the_same_picture(
    view: StudyView, folder: Path, tmp_path: Path
) -> None:
    write_report(view, tmp_path)
    assert (tmp_path / "frontier.svg").read_bytes() == (folder / "frontier.svg").read_bytes()


def test_page_holds_steps_result_and_provenance(view: StudyView, folder: Path) -> None:
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 1
    assert 'src="http' not in page and "href=" not in page.replace("xlink:href=", "")
    for step in view.steps:
        assert step.choice is not None
        assert f"{step.choice.sure:.0%} of resamples" in page or step.offer.step == 0
    assert page.count('class="won"') == len(view.steps)
    assert "out of memory at 16 clips per pass" in page
    assert "exact binomial" in page
    assert "9f3c2a7710d4e8b1" in page


def test_page_escapes_what_users_name(tmp_path: Path) -> None:
    view = expanded("0.05GFLOPs", clips=30, name="<b>&co")
    write_report(view, tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;co" in page


def test_a_running_study_reports_what_it_has(view: StudyView, tmp_path: Path) -> None:
    first = dataclasses.replace(
        view, trials=view.trials[:1], steps=view.steps[:1], best=None, final=None
    )
    write_report(first, tmp_path)
    assert len(pd.read_csv(tmp_path / "frontier.csv")) == 1


def test_a_study_without_scores_is_refused(view: StudyView, tmp_path: Path) -> None:
    empty = dataclasses.replace(view, trials=(), steps=(), best=None, final=None)
    with pytest.raises(StudyError, match="no scored network"):
        write_report(empty, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_long_heading_does_not_squeeze_the_picture(
    view: StudyView, monkeypatch: pytest.MonkeyPatch
) -> None:
    from expand3d.report.study.figure import draw

    preset = PRESETS["x3d-xs"]
    top1 = next(figure for figure in preset.published if figure.what == "top1")
    wordy = dataclasses.replace(top1, convention="as measured by its authors " * 20)
    long = dataclasses.replace(preset, published=(wordy,))
    monkeypatch.setattr(StudyView, "nearest_preset", lambda self: (long, 10**9))
    figure = draw(view)
    figure.draw_without_rendering()
    assert figure.axes[0].get_position().width > 0.8
