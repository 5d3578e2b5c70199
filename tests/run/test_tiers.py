"""The clips that a study's networks read: by their plans, whatever is decoded already."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expand3d.core.errors import DataError
from expand3d.core.result import ClipScore, Training
from expand3d.data.cache import CacheSpec
from expand3d.networks import get_family
from expand3d.run.baselines import Selection, new_baselines
from expand3d.run.driver import resume_study, run_study
from expand3d.run.events import Watch
from expand3d.run.facts import facts
from expand3d.run.prepare import prepare
from expand3d.run.prepare.sizes import Sizes
from expand3d.run.worker import create_study, join_study
from expand3d.study.config import StudyConfig
from expand3d.study.record import DATA, Record
from tests.helpers.made_videos import greys, write_video

#: The base alone, and the base with four networks of twice its cost.
BASE, STEP = "20M", "0.04GFLOPs"


class Read:
    """The clips that every training was given, by crop: their size and what they are made of."""

    def __init__(self) -> None:
        self.plans: list[tuple[int, str]] = []
        self.sizes: dict[int, set[int]] = {}
        self.identities: dict[int, set[tuple[str, ...]]] = {}
        self.pixels: dict[int, list[int]] = {}
        self.on_the_fly: dict[int, int] = {}
        self.kept: dict[tuple[int, int], set[int]] = {}
        self.lengths: dict[int, set[int]] = {}
        self.pictures: dict[tuple[int, int], list[int]] = {}
        self.flow_of: set[int] = set()

    def train(self, plan: Any, store: Any, *, eval_indices: Any, **options: Any) -> Training:
        self.plans.append((plan.crop, plan.digest))
        frames = [np.asarray(store.frames(index)) for index in range(len(store))]
        self.sizes.setdefault(plan.crop, set()).add(min(np.shape(frames[0])[1:3]))
        self.identities.setdefault(plan.crop, set()).add(tuple(store.identities))
        self.pixels[plan.crop] = [int(clip.sum()) for clip in frames]
        self.kept.setdefault((plan.frames, plan.crop), set()).add(store.every)
        self.lengths.setdefault(store.every, set()).update(map(len, frames))
        self.pictures[plan.frames, plan.crop] = [int(clip.sum()) for clip in frames]
        self.on_the_fly[plan.crop] = getattr(store, "on_the_fly", 0)
        self.flow_of |= {store.of.spec.short_side} if hasattr(store, "of") else set()
        scores = tuple(ClipScore(store.keys[i], store.labels[i], 0, 0.5) for i in eval_indices)
        return Training("ok", None, scores, 32, 1, 1.0, 0)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    found = Read()
    monkeypatch.setattr("expand3d.training.tasks.classify.train", found.train)
    return found


@pytest.fixture
def big(config: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyConfig:
    """Twelve videos of 270 pixels, and a cache of their own."""
    monkeypatch.setenv("EXPAND3D_CACHE", str(tmp_path / "cache"))
    for number in range(12):
        folder = tmp_path / "big" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        write_video(folder / f"{number}.mp4", greys([50 + 10 * number] * 4, height=270, width=300))
    return dataclasses.replace(config, data=str(tmp_path / "big"), budget=STEP)


@pytest.fixture
def long(config: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyConfig:
    """Twelve videos of 170 pixels and 57 frames, whose networks need not read all of them."""
    monkeypatch.setenv("EXPAND3D_CACHE", str(tmp_path / "cache"))
    for number in range(12):
        folder = tmp_path / "long" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pictures = greys([20 + 3 * k + number for k in range(57)], height=170, width=180)
        write_video(folder / f"{number}.mp4", pictures)
    return dataclasses.replace(config, data=str(tmp_path / "long"), budget=STEP)


def cached(home: Path) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in home.rglob("*.npy")}


def test_small_networks_need_no_large_clips(big: StudyConfig, read: Read, tmp_path: Path) -> None:
    assert run_study(dataclasses.replace(big, budget=BASE)) is not None
    # 112 pixels are jittered up to 160, 160 up to 228.6, which the tiers 160 and 232 hold.
    assert read.sizes == {112: {160}}
    few = cached(tmp_path)
    assert len(few) == 12
    assert resume_study("tiny", root=big.root, changes={"budget": STEP}).finished
    assert read.sizes == {112: {160}, 160: {232}}
    assert len(cached(tmp_path)) == 24 and few.items() <= cached(tmp_path).items()
    data = Record.open("tiny", root=big.root).attribute(DATA)
    assert data["tiers"] == 2 and data["clip_format"] and "short_side" not in data


@pytest.mark.slow
def test_the_size_is_the_same_in_another_order_and_from_another_cache(
    big: StudyConfig, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_study(big) is not None
    first, pixels = dict(read.identities), dict(read.pixels)
    assert all(len(found) == 1 for found in first.values()) and set(first) == {112, 160}
    # The large clips are there before anything is trained, the small ones are not.
    small = {CacheSpec(30, 160).file_name(sha) for sha in shas(big)}
    for name in small:
        (tmp_path / "cache" / name).unlink()
    again = dataclasses.replace(big, root=str(tmp_path / "again"))
    assert run_study(again) is not None
    # A part of the large ones is pruned while the study stands still, and nothing is there at all.
    half = dataclasses.replace(big, root=str(tmp_path / "half"))
    assert not (stopped := run_study(half, stop=after(read, 1))) or not stopped.finished
    for name in [CacheSpec(30, 232).file_name(sha) for sha in shas(big)[:5]]:
        (tmp_path / "cache" / name).unlink()
    assert resume_study("tiny", root=half.root).finished
    monkeypatch.setenv("EXPAND3D_CACHE", str(tmp_path / "empty"))
    # In another order: a network that reads large clips before the base.
    other = dataclasses.replace(big, root=str(tmp_path / "other"))
    began = len(read.plans)
    assert new_baselines(other, Selection(names=("x3d-s",))) is not None
    assert resume_study("tiny", root=other.root).finished
    assert [crop for crop, _ in read.plans[began:]][:2] == [160, 112]
    assert read.identities == first and read.pixels == pixels


def test_a_kill_while_larger_clips_are_decoded_changes_nothing(
    big: StudyConfig, read: Read, tmp_path: Path
) -> None:
    class Killed(Watch):
        def decoding(self, done: int, total: int) -> None:
            if read.plans and done == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(big, watch=Killed())
    assert len(cached(tmp_path)) > 12 and set(read.sizes) == {112}
    assert resume_study("tiny", root=big.root).finished
    assert read.sizes == {112: {160}, 160: {232}}
    assert all(len(found) == 1 for found in read.identities.values())


def test_the_cap_holds_for_all_sizes_together(big: StudyConfig, read: Read, tmp_path: Path) -> None:
    assert run_study(dataclasses.replace(big, budget=BASE)) is not None
    taken = sum(cached(tmp_path).values())
    cap = {"cache_cap": f"{taken + 100_000}B", "budget": STEP}
    # The small clips stay; the large ones that the cap has no room for are decoded when needed.
    assert resume_study("tiny", root=big.root, changes=cap).finished
    assert taken <= sum(cached(tmp_path).values()) <= taken + 100_000
    assert read.on_the_fly[160] > 0 and read.sizes == {112: {160}, 160: {232}}


def test_the_plan_says_what_each_size_takes(big: StudyConfig) -> None:
    ready = prepare(big.called("tiny"), Watch())
    said = dict(facts(ready))["data"]
    assert "decoded at 160 pixels (" in said and said.endswith(" at 232 when a network reads it)")
    assert ready.clips.sizes.largest == 270
    less = dict(facts(prepare(dataclasses.replace(big, budget=BASE).called("tiny"), Watch())))
    assert less["data"].endswith(" decoded at 160 pixels")


def test_the_last_training_reads_what_its_own_recipe_needs(big: StudyConfig, read: Read) -> None:
    final = {"jitter": (1.0, 2.0), "clip_visits": 16, "batch": 8, "bn_batch": 8}
    wide = dataclasses.replace(big, budget=BASE, final=True, final_recipe=final)
    assert run_study(wide) is not None
    assert read.sizes == {112: {160, 232}}  # 112 x 160/112, and 112 x 2


def test_flow_is_computed_from_clips_that_are_large_enough_for_it(
    big: StudyConfig, read: Read, tmp_path: Path
) -> None:
    pytest.importorskip("cv2")
    family = get_family("twostream")
    plan = family.resolve(family.base, num_classes=2)
    budget = f"{1.02 * family.cost(plan).macs / 1e6:.1f}M"
    assert run_study(dataclasses.replace(big, family="twostream", budget=budget)) is not None
    # 128 pixels of flow fit the tier of 160; what the network reads of the frames is its crop's.
    assert read.flow_of == {160}
    assert read.sizes[plan.crop] == {Sizes(270).side(plan.crop, big.training_recipe())}
    flows = [np.load(file, mmap_mode="r") for file in (tmp_path / "cache/flow").rglob("*.npy")]
    assert len(flows) == 12 and {min(flow.shape[1:3]) for flow in flows} == {128}


def test_a_study_that_began_with_one_size_keeps_it(big: StudyConfig, read: Read) -> None:
    assert run_study(dataclasses.replace(big, budget=BASE), stop=lambda: True) is not None
    record = Record.open("tiny", root=big.root)
    data = dict(record.attribute(DATA))
    del data["tiers"], data["clip_format"]
    record.set_attribute(DATA, {**data, "short_side": 192})  # as earlier versions wrote it
    assert resume_study("tiny", root=big.root).finished
    assert read.sizes == {112: {192}}
    assert resume_study("tiny", root=big.root, changes={"budget": STEP}).finished
    # 112 pixels are jittered up to 160, 160 up to 228.6, both on a grid of 64.
    assert read.sizes == {112: {192}, 160: {256}}
    assert Record.open("tiny", root=big.root).attribute(DATA)["short_side"] == 192


def test_a_machine_without_the_videos_says_which_size_it_lacks(
    big: StudyConfig, read: Read, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    create_study(dataclasses.replace(big, storage=url))
    shutil.rmtree(tmp_path / "big")
    elsewhere: dict[str, Any] = {"root": str(tmp_path / "elsewhere"), "storage": url}
    with pytest.raises(DataError, match="lacks 12 of 12 clips at 30 frames/s and 232 pixels"):
        join_study("tiny", **elsewhere)
    assert read.sizes == {112: {160}}


def test_networks_read_the_frames_that_they_need_in_any_order(
    long: StudyConfig, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_study(long) is not None
    # One picture a view; two that are 14 frames apart; 57 frames at every 8th and every 2nd.
    assert read.kept == {(1, 112): {8}, (2, 112): {2}, (1, 160): {8}}
    assert read.lengths == {8: {8}, 2: {29}}
    first = dict(read.pictures)
    sparse = CacheSpec(30, 160, 8)
    for sha in shas(long)[:5]:  # pruned: read from those with more frames
        (tmp_path / "cache" / sparse.file_name(sha)).unlink()
    assert run_study(dataclasses.replace(long, root=str(tmp_path / "pruned"))) is not None
    for sha in shas(long)[:5]:
        assert not (tmp_path / "cache" / sparse.file_name(sha)).exists()
    # In another order, from an empty cache: a network that reads all frames goes first.
    monkeypatch.setenv("EXPAND3D_CACHE", str(tmp_path / "empty"))
    other = dataclasses.replace(long, root=str(tmp_path / "other"))
    assert new_baselines(other, Selection(names=("x3d-m",))) is not None
    assert read.kept.pop((16, 224)) == {1}
    assert resume_study("tiny", root=other.root).finished
    del read.pictures[16, 224]
    assert read.pictures == first
    assert read.kept == {(1, 112): {8}, (2, 112): {2}, (1, 160): {8}}


def test_a_study_that_began_before_frames_were_left_out_reads_all(
    long: StudyConfig, read: Read
) -> None:
    assert run_study(long, stop=lambda: True) is not None
    record = Record.open("tiny", root=long.root)
    record.set_attribute(DATA, {**record.attribute(DATA), "tiers": 1})
    assert resume_study("tiny", root=long.root).finished
    assert read.kept == {(1, 112): {1}, (2, 112): {1}, (1, 160): {1}}
    assert Record.open("tiny", root=long.root).attribute(DATA)["tiers"] == 1


def test_the_plan_says_which_frames_take_what(long: StudyConfig) -> None:
    said = dict(facts(prepare(long.called("tiny"), Watch())))["data"]
    # 12 clips of 57 frames, 160 x 170 and 170 x 180 pixels of 3 bytes: 8, 29 or all of them.
    assert said.endswith(
        "; 7.84 MB decoded at 160 pixels, every 8th frame (all frames 55.8 MB at 160, "
        "62.8 MB at 232, or 1/8 or 1/2 of it, when a network reads it)"
    )


def shas(config: StudyConfig) -> tuple[str, ...]:
    return prepare(config.called("tiny"), Watch()).store.shas


def after(read: Read, trainings: int) -> Any:
    """True once so many networks more have been trained."""
    wanted = len(read.plans) + trainings
    return lambda: len(read.plans) >= wanted
