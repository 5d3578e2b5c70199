"""`expand3d pareto` and `expand3d report`, on the record of a study."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from expand3d.cli.main import main
from expand3d.core.errors import StudyError
from expand3d.core.genotype import Plan
from expand3d.core.measured import Latency
from expand3d.report.study.view import StudyView, load_view
from expand3d.study.config import NamedConfig
from expand3d.study.record import Record
from tests.helpers.studies import expanded, recorded


@pytest.fixture(scope="module")
def view() -> StudyView:
    return expanded("0.1GFLOPs", name="heron", clips=60)


@pytest.fixture(scope="module")
def root(view: StudyView, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    recorded(view, folder)
    return folder


def test_the_view_of_a_record_is_that_of_the_run(view: StudyView, root: Path) -> None:
    loaded = load_view("heron", root=root)
    assert loaded.state == "finished"
    assert loaded.path == view.path
    assert loaded.scores == view.scores
    assert [t.number for t in loaded.frontier] == [t.number for t in view.frontier]
    assert loaded.best is not None and view.best is not None
    assert loaded.best.number == view.best.number
    assert [step.text for step in loaded.steps] == [step.text for step in view.steps]
    assert loaded.final_p_value == view.final_p_value
    assert loaded.final is not None and loaded.final.weights is not None
    assert (loaded.budget, loaded.classes) == (view.budget, view.classes)


def test_the_view_says_what_the_numbers_stand_on(root: Path) -> None:
    facts = load_view("heron", root=root).facts
    assert "fingerprint 9f3c2a7710d4e8b1" in facts["Data"]
    assert "1 unreadable" in facts["Data"]
    assert "torch 2.13.0" in facts["Versions"]
    assert "finished" in facts["Session 1"]


def test_a_study_that_never_began_is_named(tmp_path: Path) -> None:
    Record.create(NamedConfig(budget="1G", name="early", root=str(tmp_path)))
    with pytest.raises(StudyError, match="'early' was stopped while it started"):
        load_view("early", root=tmp_path)


def test_pareto_prints_the_frontier(
    view: StudyView, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pareto", "heron", "--root", str(root)]) == 0
    text = capsys.readouterr().out
    for trial in view.frontier:
        assert f"{view.scores[trial.number].top1:.1%}" in text
    assert f"{len(view.frontier)} of {len(view.complete)} scored" in text


def test_pareto_json(view: StudyView, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pareto", "heron", "--root", str(root), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [row["number"] for row in data["frontier"]] == [t.number for t in view.frontier]
    assert data["hypervolume"] == view.hypervolume


def test_pareto_csv(view: StudyView, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pareto", "heron", "--root", str(root), "--csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(table["number"]) == [trial.number for trial in view.frontier]


def test_report_names_its_files(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert main(["report", "heron", "--root", str(root), "--out", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        str(out / name) for name in ("frontier.csv", "frontier.png", "frontier.svg", "index.html")
    ]
    assert all(Path(line).is_file() for line in printed)


def test_an_unknown_study_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "hern", "--root", str(root), "--out", "x"]) == 2
    assert "did you mean 'heron'" in capsys.readouterr().err


def test_accuracy_against_a_runtimes_latency(
    view: StudyView,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The frontier is anew: of these networks, in that runtime's milliseconds."""
    median = {t.candidate.digest: 1 + t.number % 3 + t.number / 100 for t in view.complete}
    asked = set()

    def kept(plan: Plan, *, device: str, threads: int | None) -> Latency:
        asked.add((device, threads))
        time = median[plan.digest]
        return Latency(time, 0.9 * time, 1.2 * time, 20, device, "abacus", threads or 1, "made up")

    monkeypatch.setattr("expand3d.measure.kept.kept_latency", kept)
    words = ["report", "heron", "--root", str(root), "--latency", "onnxruntime", "--threads", "2"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert asked == {("onnxruntime", 2)}
    told = capsys.readouterr().out.splitlines()
    assert [Path(line).name for line in told][-3:] == [
        "latency-onnxruntime.csv",
        "latency-onnxruntime.png",
        "latency-onnxruntime.svg",
    ]
    table = pd.read_csv(tmp_path / "latency-onnxruntime.csv")
    assert set(table["number"]) == {trial.number for trial in view.complete}
    assert list(table["latency_ms"]) == sorted(table["latency_ms"])
    for row in table.to_dict("records"):
        as_fast = table[table["latency_ms"] < row["latency_ms"]]["top1"]
        assert row["frontier"] == int(row["top1"] > max(as_fast, default=0))
    drawn = (tmp_path / "latency-onnxruntime.svg").read_text(encoding="utf-8")
    assert len(drawn) > 1000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x", "--threads", "2"], "--threads are those of --latency"),
        (["x", "y", "--latency", "torch"], "--latency draws one study"),
        (["x", "--latency", "onnx"], "did you mean 'onnxruntime'?"),
    ],
)
def test_latency_is_of_one_study(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *words, "--out", "never"]) == 2
    assert said in capsys.readouterr().err
