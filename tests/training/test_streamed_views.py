"""Views of clips that are read from their videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from expand3d.core.recipe import get_profile
from expand3d.data.cache import CacheSpec, build_store
from expand3d.data.manifest import load_manifest
from expand3d.networks import get_family
from expand3d.training.views import test_view as view_of_test
from expand3d.training.views import train_view
from tests.helpers.made_videos import write_data_set


@pytest.mark.parametrize("every", [1, 2])
def test_views_have_the_values_of_the_cache(every: int, tmp_path: Path) -> None:
    manifest = load_manifest(write_data_set(tmp_path / "data", clips=2, frames=20))
    spec = CacheSpec(30, 24, every)
    cached = build_store(manifest, spec, tmp_path / "cached")
    read = build_store(manifest, spec, tmp_path / "read", cap_bytes=0)
    assert read.on_the_fly == 2
    assert read.identities == cached.identities and read.fingerprint == cached.fingerprint
    family, recipe = get_family("x3d"), get_profile("quick")
    plan = family.resolve(family.base.replace(gamma_t=4, gamma_tau=4))
    for index in range(len(manifest)):
        for epoch in range(2):
            views = [
                train_view(store, index, plan=plan, recipe=recipe, seed=0, epoch=epoch)
                for store in (cached, read)
            ]
            assert np.array_equal(*views)
        places = [(0, 0), (1, 0), (0, 0), (2, 0)]  # so often that the clip is kept
        for moment, place in places:
            views = [
                view_of_test(store, index, plan=plan, recipe=recipe, moment=moment, place=place)
                for store in (cached, read)
            ]
            assert np.array_equal(*views)
