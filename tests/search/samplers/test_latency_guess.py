"""Latencies between measured rungs, and beyond them."""

from __future__ import annotations

import pytest

from expand3d.search.samplers.latency_guess import between


def test_between_rungs_time_follows_a_power_law_and_beyond_them_the_size() -> None:
    rungs = [(100, 1.0), (400, 8.0)]
    assert between(rungs, 100) == 1.0 and between(rungs, 400) == pytest.approx(8.0)
    assert between(rungs, 200) == pytest.approx(8.0**0.5)  # halfway between them as a ratio
    assert between(rungs, 50) == 0.5 and between(rungs, 800) == 16.0
