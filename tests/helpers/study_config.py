"""The configuration of a study that runs in seconds, and what keeps or ends a run of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from expand3d.study.config import StudyConfig


def tiny(videos: Path, root: Path) -> StudyConfig:
    """Base and one step of four candidates, each of two optimiser steps."""
    return StudyConfig(
        budget="0.04GFLOPs",
        data=str(videos),
        name="tiny",
        recipe={"clip_visits": 16, "batch": 8, "bn_batch": 8, "test_views": 1},
        threads=1,
        root=str(root),
        final=False,
    )


def stop_after(calls: int) -> Callable[[], bool]:
    """False so many times, then True."""
    left = iter(range(calls))
    return lambda: next(left, None) is None


def with_short_looks(patch: pytest.MonkeyPatch) -> None:
    """Latencies are measured in a moment, and are as bad as that."""
    for name, seconds in {"WARM_UP": 0.05, "LOOK": 0.05, "LEAST": 0.1, "MOST": 0.5}.items():
        patch.setattr(f"expand3d.measure.latency.{name}_SECONDS", seconds)


def without_timing(patch: pytest.MonkeyPatch) -> None:
    """Runs of this process are planned by imaginary times and memory.

    To time networks, and to find what their trainings keep, takes longer than tiny runs. Commands
    in processes of their own do both.
    """
    from expand3d.measure.throughput import Throughput

    speed = Throughput(0.01, 0.005, 0.1)
    patch.setattr("expand3d.measure.throughput.calibrate", lambda *_, **__: speed)
    patch.setattr("expand3d.measure.throughput._together", lambda *_: ())
    patch.setattr("expand3d.measure.memory.training_memory", lambda plan, *, clips: 4 * 10**8)
