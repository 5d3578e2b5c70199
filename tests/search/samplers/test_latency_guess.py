"""Latencies between measured points, and beyond them."""

from __future__ import annotations

import pytest

from expand3d.search.samplers.latency_guess import between


def test_between_rungs_time_follows_a_power_law_and_beyond_them_the_size() -> None:
    points = [(100, 1.0), (400, 8.0)]
    assert between(points, 100) == 1.0 and between(points, 400) == pytest.approx(8.0)
    assert between(points, 200) == pytest.approx(8.0**0.5)  # halfway between them as a ratio
    assert between(points, 50) == 0.5 and between(points, 800) == 16.0
