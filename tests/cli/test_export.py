"""`expand3d export`: the winner with its weights, one trial, the frontier, and refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from expand3d.cli.main import main
from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.interop.json_folder import load_export
from expand3d.networks import all_presets, get_family
from expand3d.report.study.view import StudyView
from tests.helpers.studies import expanded, recorded


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


def baseline(name: str, *, right: int) -> Trial:
    """A published network that has `right` of 60 clips right."""
    family = get_family(all_presets()[name].genotype.family)
    genotype = family.presets[name].genotype
    plan = family.resolve(genotype, num_classes=6)
    macs = family.cost(plan).macs
    candidate = Candidate(genotype, plan, macs, None, None, role="baseline", label=name)
    scores = tuple(
        ClipScore(f"clip{i:03d}.mp4", i % 6, 0 if i < right else 3, 1 - right / 60)
        for i in range(60)
    )
    runs = {TrainingKey(): Training("ok", None, scores, 1000, macs, 1.0, 2**30)}
    return Trial(0, "complete", candidate, family.cost(plan).totals(), trainings=runs)


@pytest.mark.slow
def test_a_frontier_network_of_another_family_is_named_and_left_out(
    view: StudyView, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Better and costlier than all of the study's networks, so both are on the frontier.
    beside = (baseline("r3d-18", right=60), baseline("x3d-xs", right=59))
    root, out = tmp_path / "studies", tmp_path / "out"
    recorded(dataclasses.replace(view, trials=(*view.trials, *beside)), root)
    foreign = len(view.trials)
    assert run(root, "--to", "pytorchvideo", "--frontier", "--out", str(out)) == 0
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith(f"heron, trial {foreign} is left out: ") and "'r3d'" in line
    written = {path.name for path in out.iterdir()}
    assert f"trial-{foreign:03d}" not in written
    assert f"trial-{foreign + 1:03d}" in written and len(written) == len(said.out.splitlines())
    assert all((out / name / "check.py").is_file() for name in written)
    assert run(root, "--to", "json", "--frontier", "--out", str(tmp_path / "all")) == 0
    assert {path.name for path in (tmp_path / "all").iterdir()} == {
        *written,
        f"trial-{foreign:03d}",
    }


def test_a_frontier_that_the_target_cannot_express_at_all_is_an_error(
    view: StudyView, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "studies", tmp_path / "out"
    only = (baseline("r3d-18", right=60),)
    recorded(dataclasses.replace(view, trials=only, final=None), root)
    assert run(root, "--to", "pytorchvideo", "--frontier", "--out", str(out)) == 2
    first, last = capsys.readouterr().err.splitlines()
    assert "trial 0 is left out" in first and "no network of the frontier" in last
    assert not out.exists()


def test_nothing_is_written_where_one_folder_of_a_frontier_is_a_file(
    view: StudyView, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"trial-{view.frontier[-1].number:03d}").write_text("mine", encoding="utf-8")
    assert run(root, "--to", "json", "--frontier", "--force", "--out", str(tmp_path)) == 2
    assert "is a file" in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 1


def test_a_preset_is_exported_without_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--preset", "slowfast-4x16-r50", "--to", "pyslowfast", "--out", str(tmp_path / "a"))
    assert main(["export", *words]) == 0
    assert "architecture only" in capsys.readouterr().out
    assert "DEPTH: 50" in (tmp_path / "a" / "config.yaml").read_text(encoding="utf-8")
    assert not (tmp_path / "a" / "weights.pyth").exists()
    assert main(["export", *words[:2], "--to", "onnx", "--out", str(tmp_path / "b")]) == 2
    assert "has no weights" in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("heron", "--preset", "x3d-s")])
def test_a_study_or_a_preset_but_not_both(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *words, "--to", "json", "--out", str(tmp_path / "out")]) == 2
    assert "NAME of a study, or --preset" in capsys.readouterr().err


@pytest.mark.slow
def test_an_onnx_file_is_verified_where_its_runtime_is_installed(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    words = ("--to", "onnx", "--opset", "18", "--pixels")
    assert run(root, *words, "--out", str(tmp_path / "out")) == 0
    first, exported, randomised = capsys.readouterr().out.splitlines()
    assert first.endswith(": model.onnx, network.json")
    assert "agrees with the exported weights" in exported
    assert "agrees with the randomised weights" in randomised


def test_flags_of_another_target_are_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, "--to", "json", "--opset", "18", "--out", str(tmp_path / "out")) == 2
    assert "--to json has no 'opset'; its options are: none" in capsys.readouterr().err
    assert run(root, "--to", "pyslowfast", "--verify", "--out", str(tmp_path / "out")) == 2
    assert "needs --repo PATH, a checkout of it" in capsys.readouterr().err
    words = ("--to", "json", "--repo", str(tmp_path))
    assert run(root, *words, "--out", str(tmp_path / "out")) == 2
    assert "leave out --repo" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


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
