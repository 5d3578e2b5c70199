"""Records of earlier versions open, are reported and are resumed; tests/assets/records has them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from expand3d.report.study.status import status_json
from expand3d.report.study.table import rows
from expand3d.report.study.view import StudyView, load_view
from expand3d.report.study.write import write_report
from expand3d.run.driver import resume_study
from expand3d.study.record import Record
from tests.helpers import ROOT
from tests.helpers.study_config import without_timing

FROZEN = ROOT / "tests/assets/records/v0.1"
#: What a trial is, whoever trained it on which machine.
OFFERED = ("number", "step", "axis", "merged", "parent", "role", "genotype", "plan", "digest")
COSTS = ("macs", "params", "activations", "memory", "latency")
SCORES = ("state", "reason", "top1", "top1_ci", "top5", "nll", "clip_visits", "training_macs")
TIMES = ("seconds", "waited_seconds", "test_seconds", "peak_memory")


def expected(name: str) -> Any:
    return json.loads((FROZEN / "expected" / f"{name}.json").read_text())


def of(trials: list[dict[str, Any]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{key: trial[key] for key in keys} for trial in trials]


def status(view: StudyView) -> Any:
    """The status of a study as `status --json` prints it."""
    return json.loads(json.dumps(status_json(view)))


def stored_scores(record: Record) -> dict[str, Any]:
    """Every clip's score by trial and training, in the order of columns that is frozen."""
    return {
        str(trial.number): {
            str(key): [[s.key, s.label, s.rank, s.nll, s.group] for s in training.scores]
            for key, training in trial.trainings.items()
        }
        for trial in record.trials()
    }


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Copies of the studies, which may be written to."""
    monkeypatch.setenv("EXPAND3D_CACHE", str(tmp_path / "cache"))
    without_timing(monkeypatch)
    return str(shutil.copytree(FROZEN / "studies", tmp_path / "studies"))


@pytest.mark.parametrize("name", ["finished", "killed"])
def test_plans_costs_choices_and_scores_are_those_that_were_recorded(name: str, root: str) -> None:
    wanted, view = expected(name), load_view(name, root=root)
    found = status(view)
    for key in ("study", "state", "family", "budget", "budget_text", "quantity", "metric"):
        assert found[key] == wanted[key]
    for keys in (OFFERED, COSTS, SCORES, TIMES):
        assert of(found["trials"], keys) == of(wanted["trials"], keys)
    assert found["best"]["number"] == wanted["best"]["number"]
    assert [trial["label"] for trial in found["trials"]] == [t["label"] for t in wanted["trials"]]
    record = Record.open(name, root=root)
    assert stored_scores(record) == expected("scores")[name]
    for step, frozen in zip(found["steps"], wanted["steps"], strict=True):
        assert (step["step"], step["pending"]) == (frozen["step"], frozen["pending"])
        choice = record.attribute(f"step/{step['step']}")
        assert (choice is None) == frozen["pending"]
        if choice:
            assert frozen["decision"].endswith(choice["text"])


def test_the_last_training_is_read(root: str) -> None:
    wanted = expected("finished")["final"]
    found = status(load_view("finished", root=root))["final"]
    for key in ("status", "reason", "clips", "top1", "top1_ci", "p_value_against_chance"):
        assert found[key] == wanted[key]
    final = Record.open("finished", root=root).final()
    assert final is not None and final["weights"] == Path(wanted["weights"]).name


def test_the_frontier_is_the_same(root: str) -> None:
    wanted, view = expected("frontier"), load_view("finished", root=root)
    assert view.hypervolume == wanted["hypervolume"]
    by_number = {row["number"]: row for row in rows(view)}
    found = [by_number[trial.number] for trial in view.frontier]
    for row, frozen in zip(found, wanted["frontier"], strict=True):
        keys = frozen.keys() & {"number", "macs", "params", "top1", "nll", "digest"}
        assert {key: row[key] for key in keys} == {key: frozen[key] for key in keys}


@pytest.mark.parametrize("name", ["finished", "killed"])
def test_it_is_reported(name: str, root: str, tmp_path: Path) -> None:
    view: StudyView = load_view(name, root=root)
    written = write_report(view, tmp_path / "report")
    assert all(Path(path).stat().st_size > 0 for path in written)


def test_what_was_killed_is_resumed_to_its_end(root: str) -> None:
    before = stored_scores(Record.open("killed", root=root))
    changes = {"data": str(FROZEN / "videos/manifest.csv")}
    outcome = resume_study("killed", root=root, changes=changes)
    assert outcome.finished
    wanted, found = expected("resumed"), status(load_view("killed", root=root))
    assert found["state"] == "finished"
    for keys in (OFFERED, COSTS, ("state", "reason", "clip_visits", "training_macs")):
        assert of(found["trials"], keys) == of(wanted["trials"], keys)
    after = stored_scores(Record.open("killed", root=root))
    kept = [number for number, trainings in before.items() if trainings]
    assert kept == ["0", "1", "2"]
    assert {number: after[number] for number in kept} == {n: before[n] for n in kept}
    # What is trained here is another machine's: its scores are its own.
    assert all(len(after[number]["0/0"]) == 4 for number in ("3", "4"))
    # But its clips are those that were held out before.
    held_out = [{row[0] for row in trainings["0/0"]} for trainings in after.values()]
    assert all(clips == held_out[0] for clips in held_out)
    assert [step["step"] for step in found["steps"]] == [step["step"] for step in wanted["steps"]]
    assert not any(step["pending"] for step in found["steps"])
    assert found["final"]["status"] == "ok"


def test_a_sampler_goes_on_in_the_space_that_it_began_with(root: str) -> None:
    changes = {"data": str(FROZEN / "videos/manifest.csv")}
    assert resume_study("sampled", root=root, changes=changes).finished
    trials = Record.open("sampled", root=root).trials()
    assert [trial.candidate.digest for trial in trials] == expected("sampled")


def test_what_is_finished_has_nothing_left_to_train(root: str) -> None:
    changes = {"data": str(FROZEN / "videos/manifest.csv")}
    before = stored_scores(Record.open("finished", root=root))
    final = Record.open("finished", root=root).final()
    assert resume_study("finished", root=root, changes=changes).finished
    record = Record.open("finished", root=root)
    assert stored_scores(record) == before and record.final() == final
