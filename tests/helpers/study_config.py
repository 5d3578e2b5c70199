"""The configuration of a study that runs in seconds, and what keeps or ends a run of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from expand3d.study.config import StudyConfig


def tiny(videos: Path, root: Path) -> StudyConfig:
    """Base and one step of four candidates, each of four optimiser steps."""
    return StudyConfig(
        budget="0.04GFLOPs",
        data=str(videos),
        name="tiny",
        recipe={"clip_visits": 32, "batch": 8, "bn_batch": 8, "test_views": 1},
        threads=1,
        root=str(root),
        final=False,
    )


def stop_after(calls: int) -> Callable[[], bool]:
    """False so many times, then True."""
    left = iter(range(calls))
    return lambda: next(left, None) is None


def without_timing(patch: pytest.MonkeyPatch) -> None:
    """Runs of this process are planned by imaginary times: timing networks takes longer than they.

    Commands in processes of their own do time them.
    """
    from expand3d.measure.throughput import Throughput

    speed = Throughput(0.01, 0.005, 0.1)
    patch.setattr("expand3d.measure.throughput.calibrate", lambda *_, **__: speed)
    patch.setattr("expand3d.measure.throughput._together", lambda *_: ())
