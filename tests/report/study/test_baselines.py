"""Published networks in a report: their rows, their section, their place in the picture."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from expand3d.core.recipe import get_profile
from expand3d.core.trial import Candidate, Trial
from expand3d.networks import get_family
from expand3d.report.study.figure import draw
from expand3d.report.study.labels import Name, place_names
from expand3d.report.study.view import StudyView, load_view
from expand3d.report.study.write import write_report
from tests.helpers.studies import expanded, recorded, scored

NAMES = ("x2d", "x3d-xs", "x3d-xl")


def published(name: str, number: int) -> Trial:
    """A preset with six classes; X2D is the study's base too."""
    family = get_family("x3d")
    genotype = family.presets[name].genotype
    plan = family.resolve(genotype, num_classes=6)
    candidate = Candidate(
        genotype,
        plan,
        family.cost(plan).macs,
        None,
        None,
        role="baseline",
        label=name,
    )
    return dataclasses.replace(scored(candidate, clips=300, seed=5), number=number)


@pytest.fixture(scope="module")
def alone() -> StudyView:
    return expanded("0.1GFLOPs", name="heron", clips=300)


@pytest.fixture(scope="module")
def view(alone: StudyView) -> StudyView:
    count = len(alone.trials)
    found = [published(name, count + i - 1) for i, name in enumerate(NAMES)]
    return dataclasses.replace(
        alone,
        trials=(*alone.trials, *found[1:]),
        published={name: trial.candidate.digest for name, trial in zip(NAMES, found, strict=True)},
        recipe=get_profile("quick"),
    )


@pytest.fixture(scope="module")
def folder(view: StudyView, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    write_report(view, out)
    return out


def test_baselines_join_the_frontier_and_leave_path_and_winner_alone(
    alone: StudyView, view: StudyView
) -> None:
    assert [view.names[trial.number] for trial in view.baselines] == list(NAMES)
    assert view.baselines[0].number == 0  # the base's own trial
    assert view.path == alone.path and view.best == alone.best
    # X3D-XL, at 36 GMACs, is the most accurate of this imaginary data.
    assert view.frontier[-1] == view.baselines[-1]
    assert view.frontier[-1] not in alone.frontier


def test_csv_names_role_views_crop_and_pretraining(view: StudyView, folder: Path) -> None:
    table = pd.read_csv(folder / "frontier.csv").set_index("number")
    assert len(table) == len(view.trials)
    rows = table[table["role"] == "baseline"]
    assert list(rows["label"]) == ["x3d-xs", "x3d-xl"]
    assert list(rows["crop"]) == [160, 312]  # X3D paper, Table 1 and section 4
    assert table["label"][0] == "x2d" and table["role"][0] == "base"
    assert rows["step"].isna().all()
    assert set(table["views"]) == {"2 x 1"}  # profile quick
    assert set(table["pretraining"]) == {"none (scratch)"}


def test_page_lists_them(view: StudyView, folder: Path) -> None:
    page = (folder / "index.html").read_text(encoding="utf-8")
    section = page.split("<h2>Baselines</h2>")[1].split("</table>")[0]
    assert section.count("<tr") == 1 + len(NAMES)
    for name in NAMES:
        assert f"<td>{name}</td>" in section
    assert "none (scratch)" in section and "2 x 1" in section
    assert "baseline x3d-xl" in page.split("<h2>Frontier</h2>")[1]
    assert "step 0, base = x2d" in page


def test_without_baselines_page_and_picture_do_not_mention_them(
    alone: StudyView, tmp_path: Path
) -> None:
    write_report(alone, tmp_path)
    assert "Baselines" not in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert not any("baseline" in text for text in legend(draw(alone)))


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def test_the_picture_names_every_baseline_and_says_how_it_was_tested(view: StudyView) -> None:
    figure = draw(view)
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert {"x2d, 112 px", "x3d-xs, 160 px", "x3d-xl, 312 px"} <= set(texts)
    (caption,) = [text for text in texts if "pretraining" in text]
    assert "2 x 1 views" in caption and "profile quick" in caption
    assert "baseline, trained here alike" in legend(figure)
    # 360 times the budget: every point and name still lies within a logarithmic axis.
    low, high = axes.get_xlim()
    assert axes.get_xscale() == "log" and low < 0.0198 and high > 35.83
    figure.draw_without_rendering()
    right = figure.bbox.x1
    assert all(box.get_window_extent().x1 <= right for box in [*axes.texts, *figure.legends])


def test_the_record_keeps_names_and_digests(view: StudyView, tmp_path: Path) -> None:
    record = recorded(view, tmp_path)
    record.set_attribute("baselines", dict(view.published))
    loaded = load_view("heron", root=tmp_path)
    assert loaded.names == view.names
    assert loaded.path == view.path
    assert loaded.best is not None and view.best is not None
    assert loaded.best.number == view.best.number
    assert loaded.tested == "2 x 1"
    kept = [(t.candidate.label, t.candidate.role, t.candidate.step) for t in loaded.baselines]
    assert kept == [
        (None, "base", 0),
        ("x3d-xs", "baseline", None),
        ("x3d-xl", "baseline", None),
    ]


def test_names_of_crowded_points_do_not_overlap() -> None:
    figure = Figure(figsize=(9, 6))
    axes = figure.add_subplot()
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 10)
    points = [(4.5 + 0.3 * (i % 3), 5 + 0.3 * (i // 3)) for i in range(9)] + [(9.9, 9.9)]
    axes.plot(*zip(*points, strict=True), "D")
    notes = place_names(
        axes,
        [Name(f"network-{i}, 224 px", x, y) for i, (x, y) in enumerate(points)],
        points=points,
        fontsize=9,
    )
    figure.draw_without_rendering()
    boxes = [note.get_window_extent() for note in notes]
    assert len(boxes) == 10
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    room = axes.get_window_extent()
    assert all(room.x0 <= box.x0 and box.x1 <= room.x1 and box.y1 <= room.y1 for box in boxes)
    marks = axes.transData.transform(points)
    assert not any(box.contains(*mark) for box in boxes for mark in marks)
