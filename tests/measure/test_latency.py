"""Latency: how passes are timed, by a clock of our own, and what a measurement says."""

from __future__ import annotations

import pytest
import torch

from expand3d.core.errors import ConfigError
from expand3d.measure.latency import measure_latency, timed
from expand3d.networks import get_family

X3D = get_family("x3d")
TINY = X3D.resolve(X3D.base.replace(gamma_s=32 / 112), num_classes=3)


class Clock:
    """A clock that only passes move on: the first ones take longer."""

    def __init__(self, *, seconds: float, cold: float = 0.0, cold_runs: int = 0) -> None:
        self.now = 0.0
        self.runs = 0
        self._seconds, self._cold, self._cold_runs = seconds, cold, cold_runs

    def once(self) -> None:
        self.now += self._cold if self.runs < self._cold_runs else self._seconds
        self.runs += 1

    def __call__(self) -> float:
        return self.now


def test_the_warm_up_is_not_counted() -> None:
    clock = Clock(seconds=0.2, cold=5.0, cold_runs=1)
    times = timed(clock.once, timer=clock)
    assert times == pytest.approx([0.2] * 15)  # the least number of passes: 3 seconds
    assert clock.runs == 3 + 15 + 15  # a second burst agrees


def test_the_quietest_burst_counts_and_a_second_one_has_to_agree() -> None:
    """Passes take 0.1 s but for a while, in which the machine is busy, three times as long."""
    clock = Clock(seconds=0.1, cold=0.3, cold_runs=3 + 15)
    times = timed(clock.once, timer=clock)
    assert times == pytest.approx([0.1] * 15)
    # Warm-up, a busy burst, a quiet one, one that agrees with that.
    assert clock.runs == 3 + 3 * 15


def test_bursts_of_busy_moments_count_only_where_there_are_no_others() -> None:
    """Two long bursts agree with each other while the machine is busy; then it becomes quiet."""
    clock = Clock(seconds=0.1, cold=0.2, cold_runs=3 + 30)
    times = timed(clock.once, timer=clock, probe=lambda: clock.runs >= 3 + 30)
    assert times == pytest.approx([0.1] * 15)
    busy = Clock(seconds=0.1)
    assert timed(busy.once, timer=busy, probe=lambda: False) == pytest.approx([0.1] * 15)
    assert busy.now == pytest.approx(10, abs=2)  # it has waited for a quiet moment


def test_a_machine_that_never_comes_to_rest_is_not_waited_for() -> None:
    now, passes = 0.0, 0

    def once() -> None:
        nonlocal now, passes
        now += 0.05 * 1.2 ** (passes // 15)  # every burst slower than the one before
        passes += 1

    times = timed(once, timer=lambda: now)
    assert times[7] == pytest.approx(0.05, rel=0.5)
    assert now < 30


@pytest.mark.parametrize(
    ("seconds", "runs"),
    [
        (0.001, 200),  # the most
        (0.01, 51),  # half a second (sums of 0.01 fall short of it by rounding)
        (0.1, 15),
        (3.0, 5),  # ten seconds are over, but fewer passes say nothing
    ],
)
def test_how_often(seconds: float, runs: int) -> None:
    clock = Clock(seconds=seconds)
    assert abs(len(timed(clock.once, timer=clock)) - runs) <= 1


def test_the_median_and_the_quartiles() -> None:
    """Passes alternate between 100, 200 and 300 ms on this clock."""
    ticks = iter(range(10**6))
    now = 0.0

    def timer() -> float:
        nonlocal now
        if next(ticks) % 2 == 0:  # every second look ends a pass
            now += 0.1 * (1 + next(ticks) % 3)
        return now

    found = measure_latency(TINY, device="cpu", threads=1, timer=timer)
    low, middle, high = (round(each, 6) for each in (found.low, found.median, found.high))
    assert 100 <= low <= middle <= high <= 300  # the clock's sums round
    assert found.nanoseconds == round(found.median * 1e6)


@pytest.mark.slow
def test_a_real_measurement_says_where_it_was_made_and_leaves_no_trace() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    threads = torch.get_num_threads()
    found = measure_latency(TINY, device="cpu", threads=1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert 0 < found.low <= found.median <= found.high < 10_000
    assert found.runs >= 15 and found.device == "cpu" and found.threads == 1
    assert found.hardware and torch.__version__ in found.setting
    assert found.text == f"{found.median:.3g} ms ({found.low:.3g} to {found.high:.3g})"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="no GPU"):
        measure_latency(TINY, device="cuda")
