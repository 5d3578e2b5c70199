"""A plan made of timings: the middle way and its spread."""

from __future__ import annotations

import dataclasses

import pytest

from expand3d.measure.throughput import Throughput
from expand3d.run.driver import plan_study
from expand3d.run.events import Overview, Watch
from expand3d.study.config import StudyConfig


class Planned(Watch):
    def planned(self, overview: Overview) -> None:
        self.overview = overview


def test_the_plan_counts_the_candidates_of_a_way_that_a_run_may_go(
    config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips_timed: list[int | None] = []

    def speed(*_: object, clips: int | None = None, **__: object) -> Throughput:
        clips_timed.append(clips)
        return Throughput(1.0, 0.0, 5.0)  # whatever the size

    monkeypatch.setattr("expand3d.measure.throughput.calibrate", speed)
    watch = Planned()
    recipe = {**config.recipe, "clip_visits": 16}
    config = dataclasses.replace(config, recipe=recipe, final=False)
    plan_study(config, watch=watch)
    overview = watch.overview
    assert overview.final is None and len(overview.steps) >= 2
    assert overview.shortest is not None and overview.longest is not None
    assert overview.shortest <= overview.seconds <= overview.longest
    # Networks no larger than the largest that was timed take a second a visit and a start each.
    base = overview.steps[0]
    assert base.seconds == pytest.approx(base.clip_visits + 5)
    assert all(row.memory for row in overview.steps)
    # One clip of the larger ones was expected to take more than a second.
    assert clips_timed[0] == config.training_recipe().bn_batch and set(clips_timed[1:]) <= {1}
