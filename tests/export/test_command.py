"""`expand3d export`: the winner with its weights, one trial, the frontier, and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from expand3d.cli.main import main
from expand3d.export.json_folder import load_export
from expand3d.report.view import StudyView
from studies import expanded, recorded


@pytest.fixture(scope="module")
def view() -> StudyView:
    return expanded("0.1GFLOPs", name="heron", clips=60)


@pytest.fixture(scope="module")
def root(view: StudyView, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    recorded(view, folder)
    return folder


def run(root: Path, *words: str) -> int:
    return main(["export", "heron", "--root", str(root), *words])


def test_the_winner_comes_with_its_last_trainings_weights(
    view: StudyView, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, "--to", "json", "--out", str(tmp_path / "out")) == 0
    assert "with weights" in capsys.readouterr().out
    network = load_export(tmp_path / "out")
    assert view.best is not None and view.final is not None and view.final.score is not None
    assert network.plan.digest == view.best.candidate.digest
    assert network.weights is not None
    assert network.recipe["profile"] == "final"
    assert network.scores["final"]["top1"] == view.final.score.top1
    assert network.scores["choosing"]["top1"] == view.scores[view.best.number].top1
    assert network.classes == view.classes
    assert network.provenance["versions"]["torch"] == "2.13.0"
    network.build()


def test_a_trial_without_weights_says_so(
    view: StudyView, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert view.final is not None
    other = next(t.number for t in view.complete if t.number != view.final.trial)
    words = ("--to", "pytorchvideo", "--trial", str(other), "--out", str(tmp_path / "out"))
    assert run(root, *words) == 0
    assert "architecture only" in capsys.readouterr().out
    assert not (tmp_path / "out" / "weights.safetensors").exists()


def test_the_trial_that_was_trained_again_has_its_weights(
    view: StudyView, root: Path, tmp_path: Path
) -> None:
    assert view.final is not None
    number = str(view.final.trial)
    words = ("--to", "pytorchvideo", "--trial", number, "--out", str(tmp_path / "out"))
    assert run(root, *words) == 0
    assert (tmp_path / "out" / "weights.safetensors").is_file()


def test_the_frontier_is_a_folder_each(view: StudyView, root: Path, tmp_path: Path) -> None:
    assert run(root, "--to", "json", "--frontier", "--out", str(tmp_path / "out")) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted(f"trial-{trial.number:03d}" for trial in view.frontier)
    for trial in view.frontier:
        network = load_export(tmp_path / "out" / f"trial-{trial.number:03d}")
        assert network.plan.digest == trial.candidate.digest


@pytest.mark.parametrize("which", [(), ("--frontier",)])
def test_an_occupied_folder_is_refused(
    root: Path, tmp_path: Path, which: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("", encoding="utf-8")
    assert run(root, "--to", "json", *which, "--out", str(tmp_path)) == 2
    assert "is not empty" in capsys.readouterr().err
    assert run(root, "--to", "json", *which, "--out", str(tmp_path), "--force") == 0


def test_an_unknown_trial_names_those_there_are(
    view: StudyView, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, "--to", "json", "--trial", "99", "--out", str(tmp_path / "out")) == 2
    assert f"no trial 99; it has 0 to {len(view.trials) - 1}" in capsys.readouterr().err


def test_help_loads_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from expand3d.cli.main import parser_for; parser_for('export').format_help(); "
        "parser_for('pareto'), parser_for('report'); "
        "sys.exit(bool({'torch', 'optuna', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
