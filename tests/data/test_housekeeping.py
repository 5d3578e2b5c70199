"""The cache by age and size: what goes is counted by hand, and what is in use stays."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.core.errors import FileError
from expand3d.core.process import environment
from expand3d.data.cache import CacheSpec, build_store
from expand3d.data.cache_use import Use, used
from expand3d.data.flow.store import FlowSpec, FlowStore
from expand3d.data.housekeeping import (
    CLIPS,
    FLOW,
    LEFTOVER,
    VIDEOS,
    Entry,
    by_kind,
    chosen,
    entries,
    prune,
)
from expand3d.data.manifest import load_manifest
from tests.helpers.made_videos import write_data_set

NOW = 1_000_000_000.0
DAY = 86400.0


def put(root: Path, name: str, size: int, days: float) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - days * DAY, NOW - days * DAY))
    return name


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with one of everything, and what is not its own."""
    root = tmp_path / "cache"
    put(root, f"ab/{'ab' * 16}.npy", 100, 10)
    put(root, f"cd/{'cd' * 16}.npy", 200, 5)
    put(root, f"flow/ef/{'ef' * 16}.npy", 30, 20)
    put(root, f"flow/ef/{'ef' * 16}.json", 3, 20)
    put(root, f"ab/.{'ab' * 16}.npy.77-1.tmp", 7, 1)
    put(root, f"cd/.{'cd' * 16}.npy.78-1.tmp", 8, 0)
    put(root, "bundled-1/videos/a.mp4", 1000, 1)
    put(root, "bundled-1/manifest.csv", 10, 1)
    os.utime(root / "bundled-1", (NOW - DAY, NOW - DAY))
    for foreign in ("files.json", "notes.npy", "photos/cat.npy", "ab/readme.txt"):
        put(root, foreign, 5, 100)
    return root


def test_what_is_there_by_kind(cache: Path) -> None:
    found = entries(cache, now=NOW)
    assert by_kind(found) == {
        CLIPS: (2, 300),
        FLOW: (1, 33),
        VIDEOS: (1, 1010),
        LEFTOVER: (2, 15),
    }
    assert [entry.kind for entry in found][:3] == [FLOW, CLIPS, CLIPS]  # 20, 10 and 5 days
    assert [entry.name for entry in found if entry.in_use] == [f"cd/.{'cd' * 16}.npy.78-1.tmp"]


def test_by_age(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expand3d.data.housekeeping.time.time", lambda: NOW)
    gone = prune(cache, older_than=7 * DAY)
    assert sorted(entry.bytes for entry in gone) == [33, 100]
    assert not (cache / "flow" / "ef").exists()
    assert (cache / f"cd/{'cd' * 16}.npy").is_file() and (cache / "photos/cat.npy").is_file()
    assert prune(cache, older_than=7 * DAY) == ()


def test_by_size_the_oldest_go_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expand3d.data.housekeeping.time.time", lambda: NOW)
    # 1358 bytes in all; 1230 need 128 less: the flow (33) and the clip of 10 days (100).
    gone = prune(cache, keep_under=1230)
    assert [entry.bytes for entry in gone] == [33, 100]
    assert sum(entry.bytes for entry in entries(cache, now=NOW)) == 1225


def test_all_of_it_but_what_is_not_ours(cache: Path) -> None:
    assert len(prune(cache)) == 6
    left = {path.name for path in cache.rglob("*") if path.is_file()}
    assert left == {"files.json", "notes.npy", "cat.npy", "readme.txt", "turn"}
    assert prune(cache / "none") == ()


def test_a_cache_that_cannot_be_written_is_one_line(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(FileError, match="cannot be pruned: Read-only file system"):
        prune(cache)


def test_what_is_in_use_is_never_removed(cache: Path) -> None:
    name = f"ab/{'ab' * 16}.npy"
    use = Use.of(cache, [name])
    flow = Use.of(cache / "flow", [f"ef/{'ef' * 16}.npy"])
    assert used(cache) == {name}
    copy = pickle.loads(pickle.dumps(use))
    prune(cache)
    assert (cache / name).is_file() and (cache / f"flow/ef/{'ef' * 16}.npy").is_file()
    del copy
    assert used(cache) == {name}
    del use, flow
    assert used(cache) == set()
    prune(cache)
    assert not (cache / name).exists()


def test_the_use_of_a_killed_process_ends(cache: Path) -> None:
    name = f"ab/{'ab' * 16}.npy"
    program = (
        "import os, sys, pathlib\n"
        "from expand3d.data.cache_use import Use\n"
        f"use = Use.of(pathlib.Path({str(cache)!r}), [{name!r}])\n"
        "print('uses', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "uses\n"
    assert used(cache) == {name}
    prune(cache)
    assert (cache / name).is_file()
    process.kill()
    process.communicate()
    assert used(cache) == set()
    assert len(prune(cache)) == 1


def test_a_use_makes_entries_new(cache: Path) -> None:
    name = f"ab/{'ab' * 16}.npy"
    before = (cache / name).stat().st_mtime
    Use.of(cache, [name, "cd/missing.npy"])
    assert (cache / name).stat().st_mtime > before + 5 * DAY


def test_clips_of_a_store_stay_while_it_lives(tmp_path: Path) -> None:
    """Those of both kinds, and videos that lie in the cache themselves."""
    root = tmp_path / "cache"
    (root / "bundled-1").mkdir(parents=True)
    manifest = load_manifest(write_data_set(root / "bundled-1", clips=4, classes=2, frames=6))
    store = build_store(manifest, CacheSpec(fps=30, short_side=32), root)
    flow = FlowStore(store, FlowSpec(method="farneback", short_side=16), root / "flow")
    flow.fill(["flow"], workers=1)
    assert by_kind(entries(root))[FLOW][0] == 4
    assert prune(root) == ()
    flow = FlowStore(store, flow.spec, root / "flow")
    assert by_kind(prune(root)).keys() == {FLOW}
    del store, flow
    assert by_kind(prune(root)).keys() == {CLIPS, VIDEOS}


@st.composite
def _entries(draw: st.DrawFn) -> tuple[Entry, ...]:
    rows = draw(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 90), st.booleans())))
    made = [Entry(str(n), CLIPS, size, NOW - age, busy) for n, (size, age, busy) in enumerate(rows)]
    return tuple(sorted(made, key=lambda entry: entry.used))


@given(_entries(), st.none() | st.integers(1, 90), st.none() | st.integers(0, 900))
def test_what_goes_is_no_more_than_asked(
    found: Sequence[Entry], older: int | None, under: int | None
) -> None:
    gone = chosen(found, now=NOW, older_than=older, keep_under=under)
    assert not any(entry.in_use for entry in gone)
    stays = [entry for entry in found if entry not in gone]
    free = [entry for entry in stays if not entry.in_use]
    if older is not None:
        assert all(NOW - entry.used <= older for entry in free)
    size = sum(entry.bytes for entry in stays)
    if under is not None:
        assert size <= under or not free
        young = [e for e in gone if older is None or NOW - e.used <= older]
        if young:  # taken for the size alone: the last of them was needed
            assert size + young[-1].bytes > under
    if older is None and under is None:
        assert not free
