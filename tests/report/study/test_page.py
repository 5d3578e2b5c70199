"""The page of a study: its JSON has the study's numbers, stays small, and holds names as texts."""

from __future__ import annotations

import dataclasses
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from expand3d.core.result import ClipScore, TrainingKey
from expand3d.core.trial import Trial
from expand3d.report.study.content import Room, as_json, page_content
from expand3d.report.study.mistakes import class_table, confusion_rows, wrong_clips
from expand3d.report.study.page import LIMIT, page_text
from expand3d.report.study.status import status_json
from expand3d.report.study.table import rows
from expand3d.report.study.thumbnails import Thumbnails
from expand3d.report.study.view import StudyView, load_view
from tests.helpers import ROOT
from tests.helpers.scored_trials import trial_of
from tests.helpers.studies import CURVE, expanded, with_curves

FROZEN = ROOT / "tests/assets/records/v0.1"
ODD = "</script><script>alert(1)</script><!--<b>&\"'\u2028"


class Scripts(HTMLParser):
    """The texts of the script elements, and where the page points to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script"
        if self._inside:
            self.texts.append("")
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action")]

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


def content_of(page: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Scripts(page).texts[0])
    return found


@pytest.fixture(scope="module")
def view() -> StudyView:
    return with_curves(expanded("0.1GFLOPs", clips=60))


@pytest.fixture(scope="module")
def page(view: StudyView) -> str:
    return page_text(view)[0]


def numbers(trials: list[dict[str, Any]]) -> list[list[Any]]:
    keys = ("number", "state", "step", "parent", "top1", "top1_ci", "mean_class_accuracy", "nll")
    return [[trial[key] for key in keys] for trial in trials]


def test_the_numbers_are_those_of_pareto_and_status(view: StudyView, page: str) -> None:
    found = content_of(page)
    told = json.loads(json.dumps(status_json(view)))
    assert numbers(found["trials"]) == numbers(told["trials"])
    assert [t["seconds"] for t in found["trials"]] == [t["seconds"] for t in told["trials"]]
    assert found["best"] == told["best"]["number"]
    table = {row["number"]: row for row in rows(view)}
    assert found["frontier"] == sorted(
        (n for n, row in table.items() if row["on_frontier"]), key=lambda n: table[n]["macs"]
    )
    assert set(found["path"]) == {n for n, row in table.items() if row["on_path"]}
    assert [t["cost"] for t in found["trials"]] == [row["macs"] for row in table.values()]
    assert (found["hypervolume"], found["chance"]) == (view.hypervolume, view.chance)


def test_every_training_has_its_curve_and_its_test(view: StudyView, page: str) -> None:
    for each, trial in zip(content_of(page)["trials"], view.trials, strict=True):
        if trial.state != "complete":
            assert each["curves"] == []
            continue
        (curve,) = each["curves"]
        first, second, third = curve["epochs"]
        assert (first, second) == ([1, 2.0, 0.25, None], [2, 1.0, 0.5, None])
        assert third == [3, 0.6667, 0.75, None]
        assert curve["tests"] == [[1000, each["top1"], each["nll"]]]


def test_a_training_that_is_stopped_has_its_tests_on_the_way() -> None:
    trial = trial_of([1, 0])
    (run,) = trial.trainings.values()
    early = {
        TrainingKey(visits=8): dataclasses.replace(run, clip_visits=8),
        TrainingKey(visits=16): dataclasses.replace(run, clip_visits=16, curve=CURVE),
    }
    stopped = dataclasses.replace(trial, state="stopped", reason="behind", trainings=early)
    found = page_content(study_of(stopped), room=10**6)
    (each,) = found["trials"]
    assert (each["top1"], each["why"]) == (None, "stopped: behind")
    assert [[row[0] for row in c["tests"]] for c in each["curves"]] == [[8, 16]]


def study_of(*trials: Trial, classes: tuple[str, ...] = ("a", "b"), **more: Any) -> StudyView:
    return StudyView(
        name="finch",
        state="running",
        family="x3d",
        budget=10**9,
        budget_text="1G",
        metric="nll",
        classes=classes,
        trials=trials,
        **more,
    )


@pytest.mark.parametrize("trials", [(), (dataclasses.replace(trial_of(), state="running"),)])
def test_a_study_without_a_score_has_a_page(trials: tuple[Trial, ...]) -> None:
    found = content_of(page_text(study_of(*trials))[0])
    assert (found["best"], found["frontier"], found["matrix"]) == (None, [], None)
    assert len(found["trials"]) == len(trials)


def test_names_stay_texts() -> None:
    trial = trial_of([1, 0])
    ((key, run),) = trial.trainings.items()
    scores = tuple(
        score._replace(key=f"{ODD}{score.key}", label=label, predicted=0)
        for label, score in enumerate(run.scores)
    )
    trial = dataclasses.replace(trial, trainings={key: dataclasses.replace(run, scores=scores)})
    view = study_of(trial, classes=(ODD, "plain"), best=trial, facts={ODD: ODD})
    page = page_text(dataclasses.replace(view, name=ODD))[0]
    scripts = Scripts(page).texts
    assert len(scripts) == 2, "the study's names begin no script"
    found = json.loads(scripts[0])
    assert found["study"] == ODD and found["classes"] == [ODD, "plain"]
    assert [clip["key"] for clip in found["clips"]] == [f"{ODD}clip1"]
    assert "alert(1)</script>" not in page and "<b>" not in page
    assert "\u2028" not in scripts[0]


def test_the_page_needs_nothing_else_and_runs_no_other_script(page: str) -> None:
    scripts = Scripts(page)
    assert scripts.links == []
    assert "default-src 'none'" in page and "script-src 'sha256-" in page
    assert "url(http" not in page and "@import" not in page


def test_the_script_is_packaged() -> None:
    rules = (ROOT / "pyproject.toml").read_text().split("[tool.setuptools.package-data]")[1]
    assert '"**/*.js"' in rules and '"**/*.j2"' in rules


def test_a_page_that_would_be_too_large_keeps_what_matters(
    view: StudyView, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = LIMIT // 20
    monkeypatch.setattr("expand3d.report.study.page.LIMIT", small)
    page, _ = page_text(view)
    assert len(page.encode()) < 1.02 * small
    found = content_of(page)
    assert view.best is not None
    assert {view.best.number, *view.path} <= {t["number"] for t in found["trials"]}
    notes = found["notes"]
    assert notes["curves_left_out"] + notes["mistakes_left_out"] + notes["networks_left_out"] > 0


def test_content_takes_about_its_room(view: StudyView) -> None:
    for room in (10_000, 30_000, 10**6):
        found = page_content(view, room=room)
        assert len(as_json({k: found[k] for k in ("trials", "mistakes", "clips")})) <= room


def test_room_is_taken_once() -> None:
    room = Room(12)
    assert room.takes([1, 2, 3])  # seven characters and a comma
    assert not room.takes([1, 2, 3])
    assert room.left == 4


def test_the_version_changes_with_the_study_alone(view: StudyView) -> None:
    _, version = page_text(view)
    assert page_text(view)[1] == version
    assert page_text(dataclasses.replace(view, state="running"))[1] != version


# Mistakes

SCORES = {
    "a": [ClipScore("a", 0, 0, 0.1, None, 0), ClipScore("a", 0, 1, 2.9, None, 2)],
    "b": [ClipScore("b", 0, 2, 2.0, None, 1), ClipScore("b", 0, 3, 4.0, None, 1)],
    "c": [ClipScore("c", 1, 0, 0.2, None, 1), ClipScore("c", 1, 0, 0.2, None, 1)],
}


def test_wrong_clips_come_with_how_often_they_were_wrong() -> None:
    first, second = wrong_clips(SCORES)
    assert first == ("b", 0, 1, 2, 2, 3.0)
    assert second == ("a", 0, 2, 1, 2, 1.5)


def test_a_class_is_taken_for_the_commonest_of_others() -> None:
    counts = {0: _count(2, 0.5), 1: _count(1, 1.0)}
    assert class_table(counts, SCORES) == ((0, 2, 0.5, 1, 2), (1, 1, 1.0, None, 0))


def _count(clips: int, right: float) -> Any:
    from expand3d.core.classes import ClassCount

    return ClassCount(clips, right)


def test_the_matrix_counts_every_score() -> None:
    every = [score for scores in SCORES.values() for score in scores]
    assert confusion_rows(every, [0, 1, 2]) == [[1, 2, 1], [0, 2, 0], [0, 0, 0]]
    assert confusion_rows([every[0]._replace(predicted=None)], [0]) is None


# Records of earlier versions, and pictures of clips


@pytest.fixture(scope="module")
def frozen() -> StudyView:
    return load_view("finished", root=FROZEN / "studies")


def with_data(view: StudyView, data: str) -> StudyView:
    assert view.config is not None
    return dataclasses.replace(view, config=dataclasses.replace(view.config, data=data))


@pytest.mark.parametrize("name", ["finished", "killed", "sampled", "baselines alone"])
def test_every_record_has_a_page_with_its_numbers(name: str, frozen: StudyView) -> None:
    if name == "baselines alone":
        view = dataclasses.replace(frozen, trials=frozen.baselines, steps=(), best=None, final=None)
        assert len(view.trials) == 2
    else:
        view = load_view(name, root=FROZEN / "studies")
    found, told = content_of(page_text(view)[0]), json.loads(json.dumps(status_json(view)))
    wanted = sorted(told["trials"], key=lambda trial: trial["number"])
    assert numbers(found["trials"]) == numbers(wanted) != []
    assert found["frontier"] == [trial.number for trial in view.frontier] != []
    assert found["best"] == (told["best"] and told["best"]["number"])


def test_an_older_record_says_what_it_does_not_have(frozen: StudyView, tmp_path: Path) -> None:
    gone = with_data(frozen, str(tmp_path / "gone"))
    page, _ = page_text(gone, thumbnails=Thumbnails(gone))
    found = content_of(page)
    assert found["matrix"] is None
    assert "earlier version" in found["notes"]["predictions"]
    assert "not at hand" in found["notes"]["pictures"] and found["pictures"] == {}
    assert found["mistakes"], "classes and wrong clips are known all the same"
    assert "No matrix: this record was made by an earlier version" in page


def test_pictures_are_of_the_clips_that_the_study_saw(frozen: StudyView) -> None:
    view = with_data(frozen, str(FROZEN / "videos/manifest.csv"))
    key, other = list(view.clips)[:2]
    changed = dataclasses.replace(view, clips={**view.clips, other: "0" * 16})
    pictures = Thumbnails(changed)
    assert pictures.absent is None
    picture = pictures.picture(key)
    assert picture is not None and picture.startswith("data:image/jpeg;base64,")
    assert len(picture) < 20_000
    assert pictures.picture(other) is None, "its content is not the record's"
    assert pictures.picture("no such clip") is None


def test_bundled_clips_are_not_made_for_a_page(
    frozen: StudyView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPAND3D_CACHE", str(tmp_path))
    absent = Thumbnails(with_data(frozen, "bundled")).absent
    assert absent == "the clips of bundled are not on this machine"
    assert not list(tmp_path.iterdir())
