"""A tiny labelled data set and the configuration of a study on it that runs in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_videos import write_data_set

from expand3d.study.config import StudyConfig

RECIPE: dict[str, Any] = {"clip_visits": 32, "batch": 8, "bn_batch": 8, "test_views": 1}


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 clips of two plain classes in 12 groups; the manifest's path."""
    return write_data_set(tmp_path_factory.mktemp("videos"), clips=24, classes=2, frames=40)


@pytest.fixture(scope="session")
def clip_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(autouse=True)
def _cache(clip_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPAND3D_CACHE", str(clip_cache))


@pytest.fixture
def config(videos: Path, tmp_path: Path) -> StudyConfig:
    """Base and one step of five candidates, each of four optimiser steps."""
    return StudyConfig(
        budget="0.04GFLOPs",
        data=str(videos),
        name="tiny",
        recipe=RECIPE,
        threads=1,
        root=str(tmp_path / "studies"),
        final=False,
    )
