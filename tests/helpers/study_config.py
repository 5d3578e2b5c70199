"""The configuration of a study that runs in seconds, and a stop for a run of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
