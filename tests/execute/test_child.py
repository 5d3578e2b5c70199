"""A worker stands on the driver's bench or refuses to train."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from expand3d.core.errors import StudyError
from expand3d.data.cache import CachedStore, CacheSpec, build_store
from expand3d.data.manifest import load_manifest
from expand3d.execute.child import rebuilt, refuse_other
from expand3d.execute.evaluate import Bench
from tests.helpers.made_videos import write_data_set
from tests.helpers.stages import Stage
from tests.helpers.stages import bench as toy_bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    manifest = load_manifest(write_data_set(tmp_path / "videos", clips=4, classes=2, frames=8))
    store = build_store(manifest, CacheSpec(fps=30, short_side=32), tmp_path / "driver")
    return dataclasses.replace(toy_bench(), store=store, fingerprint=store.fingerprint)


def test_clips_are_those_of_the_workers_own_cache(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPAND3D_CACHE", str(tmp_path / "worker"))
    mine = rebuilt(bench, device="cuda:1")
    assert (mine.device, mine.recipe, mine.jobs) == ("cuda:1", bench.recipe, bench.jobs)
    assert len(list((tmp_path / "worker").rglob("*.npy"))) == 4
    shutil.rmtree(tmp_path / "driver")
    again = rebuilt(bench, device=None)
    assert again.device == "cpu" and isinstance(again.store, CachedStore)
    for index in range(4):
        assert np.array_equal(mine.store.frames(index), again.store.frames(index))


def test_other_videos_under_the_same_paths_are_refused(bench: Bench, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    shutil.copy(videos / "clip3.mp4", videos / "clip1.mp4")
    with pytest.raises(StudyError, match="differ in content"):
        rebuilt(bench, device=None)


def test_another_recipe_or_a_folder_that_is_not_shared_is_refused(tmp_path: Path) -> None:
    assignment, bench = Stage(tmp_path, ["train"]).assignment(0), toy_bench()
    refuse_other(assignment, bench)
    recipe = dataclasses.replace(bench.recipe, lr=0.123)
    with pytest.raises(StudyError, match="trial 0 would be trained otherwise"):
        refuse_other(assignment, dataclasses.replace(bench, recipe=recipe))
    (tmp_path / "checkpoints").rmdir()
    with pytest.raises(StudyError, match="a folder that every machine sees"):
        refuse_other(assignment, bench)
