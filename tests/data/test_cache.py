"""The clip cache: the frames of decoding, once, by content, within its cap, for any process."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from expand3d.core.errors import DataError
from expand3d.data import cache, clip_file
from expand3d.data.cache import CachedStore, CacheSpec, build_store, estimate_bytes, in_bytes
from expand3d.data.cache_files import Recent
from expand3d.data.decode import decode, probe
from expand3d.data.hashes import FileHashes, fingerprint
from expand3d.data.manifest import Manifest, load_manifest
from expand3d.data.seeking import index_of
from expand3d.data.store import ClipStore
from expand3d.data.video_info import VideoInfo
from tests.helpers.made_videos import greys, values, write_data_set, write_video

SPEC = CacheSpec(fps=30, short_side=24)
SPARSE = CacheSpec(fps=30, short_side=24, every=8)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return load_manifest(write_data_set(tmp_path / "data"))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the videos that were decoded into the cache."""
    names: list[str] = []
    real: Callable = clip_file.decode_to

    def counting(path: Path, *args: Callable, **kwargs: float) -> None:
        names.append(path.name)
        real(path, *args, **kwargs)

    monkeypatch.setattr(clip_file, "decode_to", counting)
    return names


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.npy")}


def test_frames_are_those_of_decoding(manifest: Manifest, tmp_path: Path) -> None:
    store: ClipStore = build_store(manifest, SPEC, tmp_path / "cache")
    assert len(store) == len(store.keys) == 6
    assert list(store.labels) == [0, 1] * 3
    assert list(store.groups) == ["g0", "g0", "g1", "g1", "g2", "g2"]
    assert list(store.class_names) == ["class0", "class1"]
    for index, video in enumerate(manifest.videos):
        clip = store.frames(index)
        assert np.array_equal(clip, decode(video.path, fps=30, short_side=24))
        assert clip.shape == (10, 24, 36, 3) and not clip.flags.writeable


def test_identities_are_of_what_the_frames_are_made_of(manifest: Manifest, tmp_path: Path) -> None:
    here = build_store(manifest, SPEC, tmp_path / "cache").identities
    assert len(set(here)) == 6
    moved = shutil.copytree(manifest.videos[0].path.parent, tmp_path / "moved")
    there = load_manifest(moved / "manifest.csv")
    assert build_store(there, SPEC, tmp_path / "other").identities == here
    for changed in (CacheSpec(15, SPEC.short_side), CacheSpec(SPEC.fps, 16), SPARSE):
        assert not {*build_store(there, changed, tmp_path / "other").identities} & {*here}
    write_video(moved / "clip2.mp4", greys(range(10)))
    again = build_store(there, SPEC, tmp_path / "other").identities
    assert [i for i in range(6) if again[i] != here[i]] == [2]


def test_nothing_is_decoded_twice(manifest: Manifest, tmp_path: Path, decoded: list[str]) -> None:
    root, said = tmp_path / "cache", []
    seen: list[tuple[int, int]] = []
    build_store(
        manifest,
        SPEC,
        root,
        say=said.append,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert len(decoded) == 6 and seen == [(n, 6) for n in range(1, 7)]
    # 10 frames of 24 x 36 x 3 bytes, six times: said before it was written.
    assert said == [f"clip cache: 156 kB to write in {root} (6 clips, 30 frames/s, short side 24)"]
    build_store(manifest, SPEC, root, say=said.append)
    assert len(decoded) == 6 and len(said) == 1
    build_store(manifest, CacheSpec(fps=15, short_side=24), root)
    assert len(decoded) == 12


def test_sparse_clips_are_every_so_many_th_frame_wherever_they_are_read_from(
    manifest: Manifest, tmp_path: Path, decoded: list[str]
) -> None:
    write_video(tmp_path / "data" / "clip5.mp4", greys(range(0, 250, 10)))
    whole = [decode(video.path, fps=30, short_side=24) for video in manifest.videos]
    said: list[str] = []

    def built(name: str, *specs: CacheSpec) -> CachedStore:
        for spec in specs:
            store = build_store(manifest, spec, tmp_path / name, say=said.append)
        for clip, all_of_it in zip(map(store.frames, range(6)), whole, strict=True):
            assert np.array_equal(clip, all_of_it[:: store.every])
            assert not clip.flags.writeable
        return store

    alone = built("alone", SPARSE)
    # Two frames of five clips (0 and 8), four of one of 25; 128 bytes of each file are its header.
    assert alone.cached_bytes == 14 * 24 * 36 * 3 + 6 * 128
    assert said[-1].endswith("(6 clips, 30 frames/s, short side 24, every 8th frame)")
    assert sum(map(len, contents(tmp_path / "alone").values())) == alone.cached_bytes
    # Where there is more, nothing is decoded, and what a clip is called stays the same.
    for denser in (SPEC, dataclasses.replace(SPEC, every=2)):
        root = f"denser {denser.every}"
        built(root, denser)
        before, count = contents(tmp_path / root), len(decoded)
        served = built(root, SPARSE)
        assert contents(tmp_path / root) == before and len(decoded) == count
        assert served.identities == alone.identities and served.on_the_fly == 0
        assert served.cached_bytes == alone.cached_bytes
    # A sparse one holds nothing for those who need more.
    count = len(decoded)
    built("alone", SPEC)
    assert len(decoded) == count + 6
    fly = build_store(manifest, SPARSE, tmp_path / "none", cap_bytes=0)
    assert fly.on_the_fly == 6 and np.array_equal(fly.frames(5), whole[5][::8])


def test_changed_content_is_decoded_anew_and_moved_content_is_not(
    manifest: Manifest, tmp_path: Path, decoded: list[str]
) -> None:
    root = tmp_path / "cache"
    before = build_store(manifest, SPEC, root)
    changed = manifest.videos[2].path
    times = changed.stat()
    write_video(changed, greys([200] * 10))
    # Even with its old times, and were it of the same size, a new file is a new file.
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
    decoded.clear()
    after = build_store(manifest, SPEC, root)
    assert decoded == ["clip2.mp4"]
    assert abs(values(after.frames(2))[0] - 200) <= 2
    assert after.fingerprint != before.fingerprint
    assert [a == b for a, b in zip(after.shas, before.shas, strict=True)].count(False) == 1

    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    decoded.clear()
    moved = build_store(load_manifest(tmp_path / "elsewhere"), SPEC, root)
    assert decoded == [] and moved.fingerprint == after.fingerprint


def test_fingerprint_sees_labels_groups_and_order(manifest: Manifest) -> None:
    import dataclasses

    shas = [str(number) for number in range(6)]
    first = manifest.videos[0]
    seen = {fingerprint(manifest, shas)}
    for change in ({"label": 1}, {"group": "other"}, {"key": "k"}, {"split": "val"}):
        videos = (dataclasses.replace(first, **change), *manifest.videos[1:])
        seen.add(fingerprint(dataclasses.replace(manifest, videos=videos), shas))
    reverse = dataclasses.replace(manifest, videos=manifest.videos[::-1])
    seen.add(fingerprint(reverse, shas[::-1]))
    assert len(seen) == 6
    elsewhere = dataclasses.replace(first, path=Path("/other/place.mp4"))
    moved = dataclasses.replace(manifest, videos=(elsewhere, *manifest.videos[1:]), source="x")
    assert fingerprint(moved, shas) in seen


def test_the_cap_is_kept_and_the_rest_decoded_on_the_fly(
    manifest: Manifest, tmp_path: Path, decoded: list[str]
) -> None:
    root, said = tmp_path / "cache", []
    # Two clips are 2 x 25,920 bytes and two headers; the cap leaves no room for a third.
    store = build_store(manifest, SPEC, root, cap_bytes=60_000, say=said.append)
    files = list(root.rglob("*.npy"))
    assert len(files) == 2 and sum(file.stat().st_size for file in files) <= 60_000
    assert (store.on_the_fly, store.cached_bytes) == (4, sum(f.stat().st_size for f in files))
    assert said[1] == (
        "clip cache: 4 clips do not fit under its cap and are read from their videos"
    )
    for index, video in enumerate(manifest.videos):
        clip = np.asarray(store.frames(index))
        assert np.array_equal(clip, decode(video.path, fps=30, short_side=24))
        assert not clip.flags.writeable
    build_store(manifest, SPEC, root, cap_bytes=60_000)
    assert len(decoded) == 2 and len(list(root.rglob("*.npy"))) == 2


def test_the_cap_holds_whatever_headers_predict(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every header says one frame; each clip has ten.
    monkeypatch.setattr(cache, "probe", lambda path: dataclasses.replace(probe(path), duration_s=0))
    root, said = tmp_path / "cache", []
    store = build_store(manifest, SPEC, root, cap_bytes=60_000, say=said.append)
    files = list(root.rglob("*.npy"))
    # One at least goes beyond its own; clips that others push out are decoded when asked for.
    assert sum(file.stat().st_size for file in files) <= 60_000 and not list(root.rglob("*.tmp"))
    assert store.on_the_fly == 6 - len(files) >= 4
    assert said[-1].startswith(f"clip cache: {6 - len(files)} clips are longer than their headers")
    for index, video in enumerate(manifest.videos):
        assert np.array_equal(store.frames(index), decode(video.path, fps=30, short_side=24))


def test_a_clip_is_written_while_it_is_decoded(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", greys([k % 200 for k in range(600)]))
    file = tmp_path / "a.npy"
    tracemalloc.start()
    clip_file.write_clip(
        video, file, fps=30, short_side=32, room=clip_file.Room(None, 0), reserved=0
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The header is numpy's own, and all else the frames.
    clip = decode(video, fps=30, short_side=32)
    saved = io.BytesIO()
    np.save(saved, clip)
    assert file.read_bytes() == saved.getvalue()
    # 600 frames of 32 x 48 x 3 bytes are 2.8 MB.
    assert peak < clip.nbytes / 5


def test_clips_beyond_the_cap_are_read_for_faults_once(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = manifest.videos[5].path
    whole = bad.read_bytes()
    write_video(bad, greys(range(50, 90)), muxer={"movflags": "faststart"})
    bad.write_bytes(bad.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"1 of 6 videos cannot be used: clip5\.mp4: "):
        build_store(manifest, SPEC, tmp_path / "cache", cap_bytes=0)
    bad.write_bytes(whole)
    read: list[Path] = []
    monkeypatch.setattr(cache, "index_of", lambda path: (read.append(path), index_of(path))[1])
    build_store(manifest, SPEC, tmp_path / "cache", cap_bytes=0)
    assert read == [bad]


def test_memory_for_clips_on_the_fly_is_bounded() -> None:
    recent = Recent(limit=2000)
    made: list[int] = []

    def clip(index: int) -> np.ndarray:
        def make() -> np.ndarray:
            made.append(index)
            return np.zeros((1, 10, 30, 3), dtype=np.uint8)  # 900 bytes

        return recent.get(index, make)

    for index in (0, 1, 0, 2, 0, 1):
        clip(index)
    # 0 was used last when 2 pushed one out: 1 had to be made again, 0 never.
    assert made == [0, 1, 2, 1]


def test_bad_files_stop_or_are_skipped(manifest: Manifest, tmp_path: Path) -> None:
    manifest.videos[1].path.unlink()
    manifest.videos[4].path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        build_store(manifest, SPEC, tmp_path / "cache")
    assert str(caught.value) == (
        "2 of 6 videos cannot be used: clip1.mp4: missing; clip4.mp4: empty (0 bytes) (--skip-bad "
        f"goes on without them, `expand3d data check {manifest.source}` lists them all)"
    )
    store = build_store(manifest, SPEC, tmp_path / "cache", on_bad="skip")
    assert list(store.keys) == ["clip0.mp4", "clip2.mp4", "clip3.mp4", "clip5.mp4"]
    assert list(store.labels) == [0, 0, 1, 1] and len(store.manifest) == 4
    assert store.bad == (("clip1.mp4", "missing"), ("clip4.mp4", "empty (0 bytes)"))
    assert abs(values(store.frames(3))[0] - 145) <= 2
    for video in manifest.videos:
        video.path.unlink(missing_ok=True)
    with pytest.raises(DataError, match="6 of 6 videos cannot be used"):
        build_store(manifest, SPEC, tmp_path / "cache", on_bad="skip")


def test_many_bad_files_are_one_line_that_can_be_read(tmp_path: Path) -> None:
    lines = "".join(f"clip{k:03}.mp4 {k % 2}\n" for k in range(400))
    (tmp_path / "list.txt").write_text(lines)
    write_video(tmp_path / "clip399.mp4", greys([50, 90]))
    manifest = load_manifest(tmp_path / "list.txt")
    with pytest.raises(DataError) as caught:
        build_store(manifest, SPEC, tmp_path / "cache")
    text = str(caught.value)
    assert text.startswith("399 of 400 videos cannot be used: clip000.mp4: missing; ")
    assert text.count(": missing") == 10 and "; and 389 more (" in text and len(text) < 600
    assert "--skip-bad" in text and f"`expand3d data check {tmp_path}/list.txt`" in text


def test_a_damaged_cache_file_is_made_again(manifest: Manifest, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    build_store(manifest, SPEC, root)
    before = contents(root)
    for file, cut in zip(sorted(root.rglob("*.npy")), (0, 50, 5000), strict=False):
        file.write_bytes(file.read_bytes()[:cut])
    store = build_store(manifest, SPEC, root)
    assert contents(root) == before and store.on_the_fly == 0


def test_a_lost_or_broken_index_costs_only_time(
    manifest: Manifest, tmp_path: Path, decoded: list[str]
) -> None:
    root = tmp_path / "cache"
    before = build_store(manifest, SPEC, root)
    for text in ("", "{}", "[1, 2]", '{"files": 3, "whole": []}'):
        (root / "files.json").write_text(text)
        assert build_store(manifest, SPEC, root).fingerprint == before.fingerprint
    assert len(decoded) == 6


def test_hashes_are_remembered_while_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"abc")
    hashes = FileHashes(tmp_path / "files.json")
    # The test vector of FIPS 180-2.
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hashes.sha256(file) == abc
    hashes.save()
    reread = FileHashes(tmp_path / "files.json")
    assert reread.sha256(file) == abc
    file.write_bytes(b"abd")
    assert reread.sha256(file) != abc


def test_workers_do_not_change_a_byte(manifest: Manifest, tmp_path: Path) -> None:
    for workers in (1, 4):
        build_store(manifest, SPEC, tmp_path / str(workers), workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "4")


BUILD = """
import sys
from pathlib import Path
from expand3d.data.cache import CacheSpec, build_store
from expand3d.data.manifest import load_manifest
data, root = Path(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
store = build_store(load_manifest(data), CacheSpec(30, 24), root)
assert store.on_the_fly == 0
print(store.fingerprint, sum(int(store.frames(n).sum(dtype="int64")) for n in range(len(store))))
"""


def test_two_processes_build_one_cache(tmp_path: Path) -> None:
    data = write_data_set(tmp_path / "data", clips=12)
    alone = tmp_path / "alone"
    store = build_store(load_manifest(data), SPEC, alone)
    shared = tmp_path / "shared"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD, str(data), str(shared)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = [worker.communicate()[0] for worker in workers]
    total = sum(int(store.frames(n).sum(dtype="int64")) for n in range(12))
    assert answers == [f"{store.fingerprint} {total}\n"] * 2
    assert contents(shared) == contents(alone)
    assert not list(shared.rglob("*.tmp"))


def test_a_killed_writer_leaves_nothing_for_long(manifest: Manifest, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    (root / "ab").mkdir(parents=True)
    old, fresh = root / "ab" / ".x.npy.1-1.tmp", root / "ab" / ".y.npy.2-2.tmp"
    for leftover in (old, fresh):
        leftover.write_bytes(b"half")
    os.utime(old, (0, 0))
    build_store(manifest, SPEC, root)
    assert not old.exists() and fresh.exists()


def test_a_full_disk_is_said_before_anything_is_written(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=300_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"needs 156 kB more and the disk has 300 kB free"):
        build_store(manifest, SPEC, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_a_place_that_cannot_be_written_is_named(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/cache: the clip cache cannot be written"):
        build_store(manifest, SPEC, tmp_path / "file" / "cache")


def test_a_store_travels_to_other_processes(manifest: Manifest, tmp_path: Path) -> None:
    store = build_store(manifest, SPEC, tmp_path / "cache", cap_bytes=60_000)
    store.frames(5)
    copy: CachedStore = pickle.loads(pickle.dumps(store))
    assert np.array_equal(copy.frames(0), store.frames(0))
    assert np.array_equal(copy.frames(5), store.frames(5))


def test_estimate_is_frames_times_pixels() -> None:
    info = VideoInfo(frames=300, fps=30.0, width=340, height=256, duration_s=10.0, codec="h264")
    # 10 s at 15 frames/s, 170 x 128 pixels of 3 bytes.
    assert estimate_bytes([info, info], CacheSpec(15, 128)) == 2 * 150 * 170 * 128 * 3
    assert estimate_bytes([info], CacheSpec(15, 128, every=8)) == 19 * 170 * 128 * 3


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (999.9e3, "1 MB"), (25_920, "25.9 kB"), (2.5e12, "2,500.0 GB")],
)
def test_sizes_for_people(number: float, text: str) -> None:
    assert in_bytes(number) == text
