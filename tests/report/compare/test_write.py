"""`expand3d report A B ...`: files, picture, page and rows."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from expand3d.cli.main import main
from expand3d.report.compare.comparison import StudyComparison, compare_studies
from expand3d.report.compare.figure import draw, look
from expand3d.report.compare.write import write_comparison
from expand3d.report.study.view import load_view
from tests.helpers.several_studies import Made, made_up, searched
from tests.helpers.studies import expanded, recorded

FILES = ["comparison.csv", "hypervolume.csv", "comparison.png", "comparison.svg", "index.html"]


@pytest.fixture(scope="module")
def comparison() -> StudyComparison:
    """Eight studies with two budgets and two seeds, one of them with a long name."""
    kinds = {"tpe": 0, "nsga2": 1, "random": 0, "qmc": 1, "grid": 0}
    samplers = [
        searched(f"ut-{name}", strategy=name, trials=6, seed=seed) for name, seed in kinds.items()
    ]
    grown = [
        searched("expand"),
        searched("expansion-that-has-a-rather-long-name", beam=2, growth="both"),
        searched("small", budget="0.05GFLOPs"),
    ]
    return compare_studies([*grown, *samplers])


@pytest.fixture(scope="module")
def folder(comparison: StudyComparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compared") / "new"
    assert [path.name for path in write_comparison(comparison, out)] == FILES
    return out


@pytest.fixture(scope="module")
def figure(comparison: StudyComparison) -> Figure:
    drawn = draw(comparison)
    drawn.draw_without_rendering()
    return drawn


def test_tables_have_a_row_per_study_and_per_trial(
    comparison: StudyComparison, folder: Path
) -> None:
    table = pd.read_csv(folder / "comparison.csv")
    assert list(table["study"]) == [study.name for study in comparison.studies]
    assert list(table["networks"]) == [len(study.view.trials) for study in comparison.studies]
    curves = pd.read_csv(folder / "hypervolume.csv")
    assert list(curves) == ["study", "trial", "training_tmacs", "hypervolume"]
    assert len(curves) == table["networks"].sum()
    last = curves.groupby("study", sort=False).last()
    assert list(last["hypervolume"]) == list(table["hypervolume"])
    assert (table["equal_training_tmacs"] == last["training_tmacs"].min()).all()


def test_pictures_are_the_same_every_time(
    comparison: StudyComparison, folder: Path, tmp_path: Path
) -> None:
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert ElementTree.parse(folder / "comparison.svg").getroot().tag.endswith("svg")
    write_comparison(comparison, tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_the_page_is_one_file_with_every_study(comparison: StudyComparison, folder: Path) -> None:
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 1
    assert 'src="http' not in page and "href=" not in page.replace("xlink:href=", "")
    for study in comparison.studies:
        assert f"<td>{study.name}</td>" in page
        assert f">{study.end.hypervolume:.4f}<" in page
    assert "300 validation clips can resolve about 9 points" in page
    assert "not trained alike: seed 0 (expand, " in page
    # 2 x 0.1 GMACs, and one class of six.
    assert "up to chance (16.7%) and twice the largest budget (0.200 GMACs)" in page
    assert page.count("tr><td>ut-grid</td><td>grid</td>") == 1


def test_a_page_says_which_networks_left_no_count(tmp_path: Path) -> None:
    grown = searched("grown", budget="0.2GFLOPs", clips=30)
    lost = sum(trial.state == "failed" for trial in grown.trials)
    assert lost == 1  # out of memory before its first checkpoint
    other = searched("tpe", budget="0.2GFLOPs", clips=30, strategy="tpe", trials=2)
    write_comparison(compare_studies([grown, other]), tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "so that their study took more than is shown: grown: 1." in page
    assert "trained alike" in page and "not trained alike" not in page


def test_curves_and_staircases_are_drawn_in_each_studys_look(
    comparison: StudyComparison, figure: Figure
) -> None:
    left, right = figure.axes
    stairs = [line for line in left.lines if line.get_drawstyle() == "steps-post"]
    curves = [line for line in right.lines if line.get_drawstyle() == "steps-post"]
    for place, study in enumerate(comparison.studies):
        xs, ys = curves[place].get_data()
        assert list(xs) == [0, *(step.training_macs / 1e12 for step in study.curve)]
        assert list(ys) == [0, *(step.hypervolume for step in study.curve)]
        costs = [trial.candidate.macs / 1e9 for trial in study.frontier]
        assert list(stairs[place].get_xdata()[:-1]) == costs
        assert stairs[place].get_xdata()[-1] == left.get_xlim()[1]
        assert stairs[place].get_color() == curves[place].get_color() == look(place).color
    dashed = [line.get_xdata()[0] for line in left.lines if line.get_color() == "#22272e"]
    assert {0.05, 0.1} <= set(dashed)
    ends = min(study.end.training_macs for study in comparison.studies) / 1e12
    assert any(list(line.get_xdata()) == [ends, ends] for line in right.lines)


def test_texts_hide_neither_each_other_nor_leave_the_picture(figure: Figure) -> None:
    legend = figure.legends[0]
    texts = [*figure.texts, *legend.get_texts(), *(t for a in figure.axes for t in a.texts)]
    texts += [a.xaxis.label for a in figure.axes] + [a.yaxis.label for a in figure.axes]
    boxes = {text.get_text(): text.get_window_extent() for text in texts}
    room = figure.bbox
    for text, box in boxes.items():
        assert room.x0 <= box.x0 and box.x1 <= room.x1, text
        assert room.y0 <= box.y0 and box.y1 <= room.y1, text
    title, lines = (text.get_text() for text in figure.texts)
    for (one, box), (other, there) in combinations(boxes.items(), 2):
        # The title keeps empty lines below it, into which the lines are written.
        assert {one, other} == {title, lines} or not box.overlaps(there), (one, other)
    height = 14 * figure.dpi / 72
    assert boxes[title].y1 - height > boxes[lines].y1 > boxes[lines].y0 >= boxes[title].y0 - 2


def test_budgets_that_lie_close_are_named_in_two_rows() -> None:
    networks = [Made(10, 6, 1), Made(100, 9, 4)]
    budgets = (400, 450, 500)
    drawn = draw(compare_studies([made_up(str(b), networks, budget=b) for b in budgets]))
    drawn.draw_without_rendering()
    boxes = [t.get_window_extent() for t in drawn.axes[0].texts if "budget" in t.get_text()]
    assert len(boxes) == 3
    assert not boxes[0].overlaps(boxes[1]) and not boxes[1].overlaps(boxes[2])


def test_every_study_can_be_told_without_its_colour() -> None:
    looks = [look(place) for place in range(72)]
    assert len({(style.color, style.marker, str(style.dashes)) for style in looks}) == 72
    first = looks[:9]
    assert len({style.marker for style in first}) == 9
    assert len({style.color for style in first}) == 8  # and the ninth has other dashes:
    assert [s.marker for s in first if s.color == first[8].color] == ["o", "h"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("studies")
    recorded(expanded("0.05GFLOPs", name="heron", clips=60), place, weights=False)
    recorded(expanded("0.1GFLOPs", name="egret", clips=60, seed=5), place, weights=False)
    loud = expanded("0.05GFLOPs", name="stork", clips=60)
    recorded(loud, place, weights=False, recipe={"batch": 32}, beam=2)
    recorded(expanded("0.05GFLOPs", name="crane", clips=40), place, weights=False)
    return place


def test_the_command_writes_and_names_its_files(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", "heron", "egret", "--root", str(root), "--out", str(tmp_path / "new")]
    assert main(words) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [str(tmp_path / "new" / name) for name in FILES]
    assert told.err == ""
    assert all((tmp_path / "new" / name).is_file() for name in FILES)


def test_the_command_prints_rows_as_json_and_warns_on_stderr(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "heron", "stork", "egret", "--root", str(root), "--json"]) == 0
    told = capsys.readouterr()
    rows = json.loads(told.out)
    assert [row["study"] for row in rows] == ["heron", "stork", "egret"]
    assert [row["strategy"] for row in rows] == ["expand", "expand (beam 2)", "expand"]
    for row in rows[:2]:
        view = load_view(row["study"], root=root)
        # The budget of `egret` is twice theirs, so the reference is one octave farther away.
        best = max(view.scores[trial.number].top1 for trial in view.complete)
        assert row["hypervolume"] == pytest.approx(
            view.hypervolume + (best - view.chance) * math.log10(2)
        )
    assert told.err == ("expand3d report: not trained alike: batch 16 (heron, egret), 32 (stork)\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["heron", "egret"], "--out is missing: name a folder, as in --out compared"),
        (["heron", "heron", "--json"], "study 'heron' is named twice"),
        (["heron", "crane", "--json"], "'heron' and 'crane' cannot be compared: their validation"),
        (["heron", "egret", "--json", "--cost", "view"], "--cost belongs to --published"),
        (["heron", "--json"], "--json belongs to --published or to several studies"),
        (["heron", "egrett", "--json"], "did you mean 'egret'"),
        (["--published", "heron", "egret"], "leave out 'heron'"),
        ([], "report needs a study's NAME"),
    ],
)
def test_mistakes_are_one_line(
    root: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *words, "--root", str(root)]) == 2
    line = capsys.readouterr().err
    assert told in line and line.count("\n") == 1
