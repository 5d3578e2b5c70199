"""A tiny labelled data set and the configuration of a study on it that runs in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from expand3d.study.config import StudyConfig
from tests.helpers.light_networks import with_light_networks
from tests.helpers.made_videos import write_data_set
from tests.helpers.study_config import tiny, without_timing


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


@pytest.fixture(autouse=True)
def _without_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only fixtures of a module, and commands in processes of their own, time networks."""
    without_timing(monkeypatch)


@pytest.fixture
def config(videos: Path, tmp_path: Path) -> StudyConfig:
    return tiny(videos, tmp_path / "studies")


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings in this process are real, and their networks next to nothing."""
    with_light_networks(monkeypatch)
