"""A study whose trainings read smaller clips first: its plan, what it spends, who is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Plan
from expand3d.measure.pace import Pace
from expand3d.networks import get_family
from expand3d.run.baselines import Selection, plan_baselines
from expand3d.run.driver import plan_study, run_study
from expand3d.run.events import Overview, Watch
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record

X3D = get_family("x3d")


class Planned(Watch):
    def planned(self, overview: Overview) -> None:
        self.overview = overview


@pytest.fixture
def config(config: StudyConfig) -> StudyConfig:
    """Four steps of eight clips, one in each shape."""
    recipe = {**config.recipe, "clip_visits": 32, "multigrid": "long"}
    return dataclasses.replace(config, recipe=recipe)


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nanosecond an element that a convolution writes, in training; tests take nothing."""
    monkeypatch.setattr("expand3d.execute.evaluate.Bench.memory", lambda *_: None)
    pace = Pace(train=(1e-9, 0, 0, 0), test=(0,) * 4, start=(0,) * 4, clips=8)
    monkeypatch.setattr("expand3d.run.plan.calibrate", lambda *_, **__: pace)


def read_of(plan: Plan) -> list[Plan]:
    """The shapes of networks of 112 pixels and one or two frames, and of 160 and one."""
    side = {112: 80, 160: 112}[plan.crop]
    one = {"frames": 1, "stride": 1}
    small = dataclasses.replace(plan, crop=side, **one)
    return [small, small, dataclasses.replace(plan, **one), plan]


def total(plan: Plan, what: str) -> int:
    """The sum over all visits of a training, forward."""
    return 8 * sum(getattr(X3D.cost(each), what) for each in read_of(plan))


def test_the_plan_counts_the_clips_that_are_read(config: StudyConfig, paced: None) -> None:
    watch = Planned()
    plan_study(config, watch=watch)
    base = watch.overview.steps[0]
    plan = X3D.resolve(X3D.base, num_classes=2)
    assert base.clip_visits == 32
    assert base.training_macs == 3 * total(plan, "macs")
    assert base.seconds == pytest.approx(1e-9 * total(plan, "activations"))
    assert "smaller clips of fewer frames first" in dict(watch.overview.lines)["training"]


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["here", "processes"])
def test_a_run_spends_what_its_plan_says(
    executor: str, config: StudyConfig, light: None, tmp_path: Path
) -> None:
    watch = Planned()
    config = dataclasses.replace(config, executor=executor, workers=2 if executor != "here" else 1)
    assert run_study(config, watch=watch).finished
    trials = Record.open("tiny", root=config.root).trials()
    assert {trial.candidate.plan.frames for trial in trials} == {1, 2}
    for trial in trials:
        (training,) = trial.trainings.values()
        assert training.training_macs == 3 * total(trial.candidate.plan, "macs")
    spent = sum(t.training_macs for trial in trials for t in trial.trainings.values())
    assert sum(row.training_macs for row in watch.overview.steps) == spent


REFUSED: Sequence[tuple[Mapping[str, Any], str]] = [
    ({"race": True, "rungs": [8, 16]}, "as race = true has them"),
    ({"strategy": "tabulate", "rungs": [16], "final": False}, "as strategy = 'tabulate' has them"),
]


@pytest.mark.parametrize(("keys", "why"), REFUSED)
def test_trainings_that_are_tested_on_the_way_refuse_it(keys: Mapping[str, Any], why: str) -> None:
    recipe = {"clip_visits": 32, "multigrid": "long"}
    with pytest.raises(ConfigError, match=f"recipe.multigrid = 'long' .*{why}"):
        StudyConfig(budget="0.04GFLOPs", recipe=recipe, **keys)


@pytest.mark.parametrize("table", ["recipe", "final_recipe"])
def test_a_family_that_reads_no_smaller_clips_is_refused_before_data_is_read(
    table: str, config: StudyConfig
) -> None:
    tables: dict[str, Any] = {"recipe": {}, table: {"multigrid": "long"}}
    refused = dataclasses.replace(config, family="tsn", data="nowhere", final=True, **tables)
    with pytest.raises(ConfigError, match=r"'long' .* of tsn reads segments.* or take 'sides'"):
        plan_study(refused)


def test_published_networks_that_read_no_smaller_clips_are_left_out(
    config: StudyConfig, paced: None
) -> None:
    watch = Planned()
    plan_baselines(config, Selection(families=("c3d",), most=10**12), watch=watch)
    said = dict(watch.overview.lines)["multigrid"]
    left_out = said.removeprefix("left out, as they read no smaller clips: ").split(", ")
    assert {"c3d", "c3d-ucf101"} < {*left_out} and "c3d-base" not in left_out
    assert [row.name for row in watch.overview.steps] == ["c3d-base"]
    with pytest.raises(ConfigError, match="this network of c3d cannot read less than 16 frames"):
        plan_baselines(config, Selection(names=("c3d",)), watch=watch)
