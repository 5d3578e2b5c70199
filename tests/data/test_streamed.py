"""Clips read from their videos: the values of the cache, with little memory, in any process."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from expand3d.data import streamed
from expand3d.data.cache import CachedStore, CacheSpec, build_store
from expand3d.data.decode import decode
from expand3d.data.housekeeping import INDEX, entries, prune
from expand3d.data.manifest import Manifest, load_manifest
from tests.helpers.made_videos import greys, write_data_set, write_video

SPEC = CacheSpec(fps=30, short_side=24)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return load_manifest(write_data_set(tmp_path / "data", frames=20))


def stores(manifest: Manifest, root: Path) -> tuple[CachedStore, CachedStore]:
    """The clips from the cache, and from their videos."""
    cached = build_store(manifest, SPEC, root / "cached")
    read = build_store(manifest, SPEC, root / "read", cap_bytes=0)
    assert (cached.on_the_fly, read.on_the_fly) == (0, len(manifest))
    assert not [*(root / "read").rglob("*.npy")]
    return cached, read


def test_a_clip_is_an_array(manifest: Manifest, tmp_path: Path) -> None:
    cached, read = stores(manifest, tmp_path)
    whole, clip = np.asarray(cached.frames(1)), read.frames(1)
    assert clip.shape == whole.shape and len(clip) == len(whole)
    assert np.array_equal(clip, whole) and not np.asarray(clip).flags.writeable
    keys = (3, -1, slice(2, 9, 3), [5, 5, 1], ([9, 0], slice(1, 7), slice(2, 8)), slice(0, 0))
    for key in keys:
        assert np.array_equal(clip[key], whole[key])
    assert all(np.array_equal(a, b) for a, b in zip(clip, whole, strict=True))
    with pytest.raises(IndexError):
        clip[20]


def test_a_clip_that_is_read_again_and_again_is_decoded_whole_once(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[str] = []

    def counted(path: Path, **form: float) -> np.ndarray:
        whole.append(path.name)
        return decode(path, fps=form["fps"], short_side=int(form["short_side"]))

    monkeypatch.setattr(streamed, "decode", counted)
    _, read = stores(manifest, tmp_path)
    for _ in range(6):
        read.frames(4)[[1, 3]]
    assert whole == ["clip4.mp4"]
    for index in (0, 1, 2, 3, 5, 0, 1, 2, 3, 5):
        read.frames(index)[[2]]
    assert whole == ["clip4.mp4"]
    # What is too large is never kept.
    monkeypatch.setattr(streamed, "LARGEST_BYTES", 1000)
    for _ in range(6):
        read.frames(3)[[2]]
    assert whole == ["clip4.mp4"]


def test_a_copy_reads_the_same_and_an_index_that_is_gone_is_made_anew(
    manifest: Manifest, tmp_path: Path
) -> None:
    cached, read = stores(manifest, tmp_path)
    copy = pickle.loads(pickle.dumps(read))
    shutil.rmtree(tmp_path / "read" / "index")
    for index in range(len(manifest)):
        assert np.array_equal(copy.frames(index)[[7]], cached.frames(index)[[7]])
    assert not (tmp_path / "read" / "index").exists()


def test_videos_are_indexed_once_by_content(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from expand3d.data import cache

    made: list[str] = []
    real = cache.index_of
    monkeypatch.setattr(cache, "index_of", lambda path: (made.append(path.name), real(path))[1])
    build_store(manifest, SPEC, tmp_path / "read", cap_bytes=0)
    assert len(made) == 6
    build_store(manifest, CacheSpec(15, 16), tmp_path / "read", cap_bytes=0)
    assert len(made) == 6  # whatever the form
    write_video(manifest.videos[2].path, greys(range(90, 110)))
    build_store(manifest, SPEC, tmp_path / "read", cap_bytes=0)
    assert made[6:] == ["clip2.mp4"]


def test_indexes_belong_to_the_cache(manifest: Manifest, tmp_path: Path) -> None:
    root = tmp_path / "read"
    store = build_store(manifest, SPEC, root, cap_bytes=0)
    assert [entry.kind for entry in entries(root)] == [INDEX] * 6
    assert all(entry.in_use for entry in entries(root)) and not prune(root)
    del store
    assert len(prune(root)) == 6 and not entries(root)
