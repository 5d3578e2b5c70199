"""Published networks in a study's record: which, trained how, continued, shared with the expansion.

The family's own presets cost too much here: tiny ones stand in for them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expand3d.cli.main import main
from expand3d.core.errors import BudgetError, FactorError, StudyError
from expand3d.core.result import ClipScore, Training
from expand3d.measure.throughput import Throughput
from expand3d.networks import get_family
from expand3d.networks.family import Preset
from expand3d.report.study.status import status_json
from expand3d.report.study.view import load_view
from expand3d.run.baselines import (
    ONLY_BASELINES,
    Selection,
    add_baselines,
    networks_of,
    new_baselines,
    selected,
)
from expand3d.run.driver import resume_study, run_study
from expand3d.run.events import Overview, Watch
from expand3d.run.inherit import weights_of_trials
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record
from tests.helpers.made_videos import greys, write_video
from tests.helpers.study_config import stop_after

BASE = get_family("x3d").base
#: "flat" is the base, "two" what the expansion tries for time (x3d.md section 2), "small" is
#: cheaper than both, "large" costs 0.6 GMACs.
TINY = {
    "flat": BASE,
    "two": BASE.replace(gamma_t=2, gamma_tau=14),
    "small": BASE.replace(gamma_s=64 / 112),
    "large": BASE.replace(gamma_t=4, gamma_tau=12, gamma_s=160 / 112, gamma_d=2.2, gamma_b=2.25),
}
EVERY = Selection(families=("x3d",))


@pytest.fixture(autouse=True)
def presets(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = {name: Preset(name, genotype) for name, genotype in TINY.items()}
    monkeypatch.setattr("expand3d.networks.families.x3d.PRESETS", tiny)
    monkeypatch.setattr("expand3d.run.baselines.FAMILIES", {"x3d": ""})


@pytest.fixture(autouse=True)
def no_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    speed = Throughput(0.01, 0.01, 0.0)
    monkeypatch.setattr("expand3d.measure.throughput.calibrate", lambda *_, **__: speed)


@pytest.fixture
def config(config: StudyConfig) -> StudyConfig:
    return dataclasses.replace(config, recipe={**config.recipe, "clip_visits": 16})


@dataclasses.dataclass
class Trained:
    """The networks that were trained, in order, by a stand-in that answers at once."""

    plans: list[Any] = dataclasses.field(default_factory=list)
    stores: list[Any] = dataclasses.field(default_factory=list)
    fail: Callable[[Any], bool] = lambda plan: False


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    told = Trained()

    def train(plan: Any, store: Any, *, eval_indices: Any, **options: Any) -> Training:
        told.plans.append(plan)
        told.stores.append(store)
        if told.fail(plan):
            return Training("out of memory", "in training at step 1", (), 0, 0, 1.0, 0)
        scores = tuple(
            ClipScore(store.keys[i], store.labels[i], i % 2, 1 / plan.crop) for i in eval_indices
        )
        return Training("ok", None, scores, 32, 1, 1.0, 0)

    monkeypatch.setattr("expand3d.training.tasks.classify.train", train)
    return told


class Look(Watch):
    def __init__(self) -> None:
        self.plans: list[Overview] = []
        self.notes: list[str] = []

    def planned(self, overview: Overview) -> None:
        self.plans.append(overview)

    def note(self, text: str) -> None:
        self.notes.append(text)


def opened(config: StudyConfig) -> Record:
    return Record.open("tiny", root=config.root)


def by_digest(record: Record) -> dict[str, Any]:
    return {trial.candidate.digest: trial.scores() for trial in record.trials()}


def test_the_familys_base_takes_part_unless_a_preset_is_the_same_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    family = get_family("x3d")
    assert list(networks_of(family)) == ["flat", "two", "small", "large"]
    others = {"two": Preset("two", TINY["two"])}
    monkeypatch.setattr("expand3d.networks.families.x3d.PRESETS", others)
    assert networks_of(family) == {"x3d-base": BASE, "two": TINY["two"]}


def test_selection_is_cheapest_first_with_the_studys_classifier() -> None:
    found = selected(Selection(names=("large", "two", "flat")), classes=7)
    assert [candidate.label for candidate in found] == ["flat", "two", "large"]
    # X2D's 20,662,304 multiply-adds are with 400 classes of 2048 inputs (x3d.md section 3).
    assert found[0].macs == 20_662_304 - 393 * 2048
    assert {c.plan.num_classes for c in found} == {7}
    assert {(c.role, c.step, c.axis) for c in found} == {("baseline", None, None)}
    with pytest.raises(FactorError, match=r"unknown preset 'flta'.*'flat'"):
        selected(Selection(names=("flta",)), classes=7)


def test_a_limit_is_twice_the_budget_or_what_is_said_or_none_for_names() -> None:
    assert EVERY.ceiling(40) == 80
    assert Selection(most=50).ceiling(40) == 50
    assert Selection(names=("two",)).ceiling(40) is None
    assert Selection(names=("two",), most=50).ceiling(40) == 50


@pytest.mark.usefixtures("light")
def test_baselines_come_first_and_the_expansion_finds_them(config: StudyConfig) -> None:
    look = Look()
    outcome = new_baselines(config, EVERY, watch=look, keep_weights=True)
    assert outcome is not None and outcome.reason == ONLY_BASELINES
    (plan,) = look.plans
    assert [row.name for row in plan.steps] == ["small", "flat", "two"]
    assert dict(plan.lines)["left out"] == "large 0.604 GMACs"
    assert "32" in dict(plan.lines)["two"]  # the videos are 32 pixels high
    record = opened(config)
    assert [trial.candidate.label for trial in record.trials()] == ["small", "flat", "two"]
    assert {trial.candidate.role for trial in record.trials()} == {"baseline"}
    assert load_view("tiny", root=config.root).state == "stopped"
    kept = weights_of_trials(record)
    assert {number: kept.keys(number) for number in kept.numbers()} == {
        trial.number: tuple(trial.trainings) for trial in record.trials()
    }

    assert resume_study("tiny", root=config.root).finished
    assert kept.numbers() == (0, 1, 2)  # the search's own are not kept
    record = opened(config)
    # The base and the first temporal step were there; depth, width and bottleneck were not.
    assert [trial.candidate.axis for trial in record.trials()[3:]] == [
        "gamma_d",
        "gamma_w",
        "gamma_b",
    ]
    alone = dataclasses.replace(config, root=f"{config.root}-alone")
    assert run_study(alone) is not None
    scores, expected = by_digest(record), by_digest(opened(alone))
    assert {digest: scores[digest] for digest in expected} == expected
    view, other = load_view("tiny", root=config.root), load_view("tiny", root=alone.root)
    assert view.best is not None and other.best is not None
    assert view.best.candidate.digest == other.best.candidate.digest
    assert [step.text for step in view.steps] == [step.text for step in other.steps]


def test_an_expansion_answers_baselines_from_its_record(
    config: StudyConfig, trained: Trained
) -> None:
    run_study(config)
    before = len(trained.plans)
    outcome = add_baselines("tiny", EVERY, root=config.root)
    assert outcome is not None and outcome.finished
    assert [plan.crop for plan in trained.plans[before:]] == [64]
    view = load_view("tiny", root=config.root)
    assert view.state == "finished"
    assert {view.names[t.number]: t.candidate.role for t in view.baselines} == {
        "small": "baseline",
        "flat": "base",
        "two": "expand",
    }
    # "small" scores worst by far here; the choice is the expansion's in any case.
    assert view.best is not None and view.best.candidate.role != "baseline"
    listed = {trial["label"]: trial for trial in status_json(view)["trials"] if trial["label"]}
    assert set(listed) == {"small", "flat", "two"}
    assert listed["small"]["role"] == "baseline" and listed["small"]["step"] is None


@pytest.mark.usefixtures("light")
def test_a_stopped_baseline_continues_where_it_was(config: StudyConfig) -> None:
    whole = dataclasses.replace(config, root=f"{config.root}-whole")
    two = Selection(names=("small", "two"))
    new_baselines(whole, two)
    outcome = new_baselines(config, two, stop=stop_after(3))
    assert outcome is not None and outcome.reason == "interrupted"
    for _ in range(10):
        outcome = add_baselines("tiny", two, root=config.root, stop=stop_after(5))
        assert outcome is not None
        if outcome.reason != "interrupted":
            break
    assert by_digest(opened(config)) == by_digest(opened(whole))
    assert len(opened(config).trials()) == 2
    assert not list(opened(config).folder.checkpoints.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("light")
def test_the_winners_last_training_leaves_an_interrupted_baseline_its_checkpoint(
    config: StudyConfig,
) -> None:
    short = {"clip_visits": 8, "batch": 8, "bn_batch": 8, "test_views": 1}
    config = dataclasses.replace(
        config, budget="25M", final=True, final_recipe=short, recipe={**short, "clip_visits": 32}
    )
    small = Selection(names=("small",))
    new_baselines(config, small, stop=stop_after(4))
    kept = sorted(path.name for path in opened(config).folder.checkpoints.iterdir())
    assert kept == ["0-0-0.pt"]
    assert resume_study("tiny", root=config.root).finished
    record = opened(config)
    assert record.final() is not None
    assert sorted(path.name for path in record.folder.checkpoints.iterdir()) == kept


def test_a_failure_is_an_outcome_and_is_not_tried_again(
    config: StudyConfig, trained: Trained
) -> None:
    trained.fail = lambda plan: plan.frames == 2
    new_baselines(config, EVERY)
    count = len(trained.plans)
    failed = opened(config).trial(2)
    assert (failed.candidate.label, failed.state) == ("two", "failed")
    assert failed.reason == "out of memory: in training at step 1"
    look = Look()
    add_baselines("tiny", EVERY, root=config.root, watch=look)
    assert len(trained.plans) == count
    assert not look.plans and any("in the record" in note for note in look.notes)


def test_the_time_of_baselines_is_not_the_expansions(config: StudyConfig, trained: Trained) -> None:
    limited = dataclasses.replace(config, time_limit="4s")  # a training stands for one second
    new_baselines(limited, EVERY)
    assert resume_study("tiny", root=config.root).finished
    assert len(trained.plans) == 6


def test_clips_are_decoded_larger_where_a_network_needs_it(
    config: StudyConfig, tmp_path: Path, trained: Trained
) -> None:
    for number in range(12):
        folder = tmp_path / "big" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        write_video(folder / f"{number}.mp4", greys([50 + 10 * number] * 4, height=270, width=300))
    big = dataclasses.replace(config, data=str(tmp_path / "big"), budget="21M")
    new_baselines(big, Selection(names=("flat", "large")))
    # 112 pixels are jittered up to 160 and 160 up to 228.6, which the tiers 160 and 232 hold.
    sizes = [min(np.shape(store.frames(0))[1:3]) for store in trained.stores]
    assert [plan.crop for plan in trained.plans] == [112, 160]
    assert sizes == [160, 232]
    same = {tuple(store.keys) for store in trained.stores}
    assert len(same) == 1


def test_a_limit_that_leaves_nothing_names_the_cheapest(config: StudyConfig) -> None:
    with pytest.raises(BudgetError, match=r"the cheapest, small, costs .* MMACs"):
        new_baselines(config, Selection(most=10**6))


def test_the_command_plans_trains_and_prints(
    config: StudyConfig, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--study", "tiny", "--root", config.root]
    flags = ["--data", config.data, "--budget", "40M", "--threads", "1", "--no-final"]
    assert main(["baselines", *where]) == 2
    assert "--budget starts a new one" in capsys.readouterr().err
    assert main(["baselines", "--root", config.root]) == 2
    assert "--study" in capsys.readouterr().err
    assert main(["baselines", *where, *flags, "--families", "x3d", "--plan"]) == 0
    assert "large 0.604 GMACs" in capsys.readouterr().err
    with pytest.raises(StudyError):
        opened(config)
    assert main(["baselines", *where, *flags, "--families", "x3d"]) == 0
    printed = capsys.readouterr().out
    assert "3 baselines" in printed and "expand3d report tiny" in printed
    row = next(line.split() for line in printed.splitlines() if " two " in line)
    assert row[:5] == ["two", "0.039", "0.82", "M", "50.0%"]
    assert " ".join(row[-4:]) == "2 x 14 112"
    # The same command again, and by name alone, goes on with what is there.
    assert main(["baselines", *where, *flags, "--presets", "large"]) == 0
    assert main(["baselines", *where, "--families", "x3d", "--max-budget", "40M"]) == 0
    assert len(trained.plans) == 4
    assert main(["baselines", *where, "--seed", "5"]) == 2
    assert "seed" in capsys.readouterr().err
    assert main(["status", "tiny", "--root", config.root, "--json"]) == 0
    trials = json.loads(capsys.readouterr().out)["trials"]
    assert [trial["label"] for trial in trials] == ["small", "flat", "two", "large"]
