"""The calibration gives plausible times, and costlier networks longer ones."""

from __future__ import annotations

import time

import pytest

from expand3d.measure.throughput import calibrate
from tests.helpers.train_toys import make_plan, make_recipe


def test_times_grow_with_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", time.process_time)  # others may have the processor
    recipe = make_recipe()
    small = calibrate(make_plan(frames=1, stride=1), recipe=recipe, threads=1, seconds=0.1)
    large = calibrate(make_plan(frames=8, crop=128), recipe=recipe, threads=1, seconds=0.1)
    assert 0 < small.train_seconds < large.train_seconds < 1
    assert 0 < small.test_seconds < large.test_seconds < large.train_seconds
