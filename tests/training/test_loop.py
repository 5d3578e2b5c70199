"""Whole trainings: what they return, what ends them, and that resuming changes no bit."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from expand3d.core.errors import ConfigError, DataError
from expand3d.core.process import environment
from expand3d.core.result import Interrupted, Training
from expand3d.networks.ops import compiled as kernels
from expand3d.training import loop, scoring, step
from expand3d.training.progress import Progress
from expand3d.training.tasks import classify
from expand3d.training.tasks.classify import train
from tests.helpers.train_toys import make_plan, make_recipe, make_store
from tests.helpers.waiting import wait_for

TRAIN, HELD_OUT = tuple(range(16)), tuple(range(16, 24))
STEPS = 12


def run(plan: Any, recipe: Any, **changes: Any) -> Training:
    settings: dict[str, Any] = {
        "train_indices": TRAIN,
        "eval_indices": HELD_OUT,
        "recipe": recipe,
        "seed": 5,
        "forward_macs": 1000,
        "threads": 1,
        **changes,
    }
    return train(plan, settings.pop("store", None) or make_store(), **settings)


def _without(settings: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != name}


def curve_of(training: Training) -> list[dict[str, float]]:
    """The curve without its wall times."""
    return [_without(dict(row), "seconds") for row in training.curve]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, bytes]:
    """The tiny training in one go, with its weights' bytes."""
    weights = tmp_path_factory.mktemp("whole") / "w.safetensors"
    return run(make_plan(), make_recipe(), weights_out=weights), weights.read_bytes()


@pytest.mark.slow
def test_a_learnable_task_is_learned(uninterrupted: tuple[Training, bytes]) -> None:
    long = run(make_plan(), make_recipe(clip_visits=400))
    assert long.status == "ok" and long.reason is None
    assert sum(score.rank == 0 for score in long.scores) >= 7  # of 8; p = 9/256 by chance
    assert long.curve[-1]["loss"] < 0.5 < long.curve[0]["loss"]


def test_the_result_says_what_it_cost(uninterrupted: tuple[Training, bytes]) -> None:
    training, _ = uninterrupted
    assert training.clip_visits == 96
    assert training.training_macs == 3 * 1000 * 96
    assert training.test_macs == 1000 * 8 * 2
    assert training.seconds > 0 and training.peak_memory > 50e6
    assert 0 <= training.waited_seconds < training.seconds - training.test_seconds
    assert training.test_seconds > 0
    assert [row["epoch"] for row in training.curve] == [1, 2, 3, 4, 5, 6]
    assert training.environment == {
        "torch": str(torch.__version__),
        "device": "cpu",
        "threads": 1,
        "layout": "channels_last_3d",
        "channelwise": "compiled" if kernels.available() else "torch",
        "amp": "off",
        "bn_batch": 4,
    }
    assert Training.from_json(json.loads(json.dumps(training.to_json()))) == training


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    uninterrupted: tuple[Training, bytes], tmp_path: Path
) -> None:
    whole, weights = uninterrupted
    torch.manual_seed(99)  # the caller's random state has no part in it
    again = run(make_plan(), make_recipe(), weights_out=tmp_path / "a")
    assert (again.scores, curve_of(again)) == (whole.scores, curve_of(whole))
    assert (tmp_path / "a").read_bytes() == weights
    other = run(make_plan(), make_recipe(), seed=6)
    assert other.scores != whole.scores


def test_the_callers_torch_is_left_alone() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.manual_seed(1)
        state = torch.get_rng_state()
        training = run(make_plan(), make_recipe(clip_visits=8), threads=1)
        assert training.environment["threads"] == 1
        assert torch.get_num_threads() == 2 and torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("layout", ["on", "off"])
def test_resuming_after_any_step_changes_no_bit(
    layout: str, tmp_path: Path, uninterrupted: tuple[Training, bytes]
) -> None:
    recipe = make_recipe(channels_last=layout)
    whole, expected = uninterrupted
    if layout == "off":
        whole = run(make_plan(), recipe, weights_out=tmp_path / "whole")
        expected = (tmp_path / "whole").read_bytes()
    saved, weights = tmp_path / "c.pt", tmp_path / "w"
    steps = [1, 3, 2, 5, 1]  # the last one stops in the test
    assert sum(steps) == STEPS
    for batches in steps:
        with pytest.raises(Interrupted):
            stopped = {"stop": _after(batches), "checkpoint": saved, "weights_out": weights}
            run(make_plan(), recipe, **stopped)
        assert saved.exists() and not weights.exists()
    training = run(make_plan(), recipe, checkpoint=saved, weights_out=weights)
    assert training.notes == ()
    assert (training.scores, curve_of(training)) == (whole.scores, curve_of(whole))
    assert weights.read_bytes() == expected


@pytest.mark.slow
def test_a_killed_process_continues_to_the_same_bits(
    tmp_path: Path, uninterrupted: tuple[Training, bytes]
) -> None:
    whole, expected = uninterrupted
    saved, weights, result = (tmp_path / name for name in ("c.pt", "w", "r.json"))
    script = (
        "import sys, json, pathlib\n"
        "from tests.training.test_loop import run, make_plan, make_recipe\n"
        "paths = [pathlib.Path(p) for p in sys.argv[1:]]\n"
        "done = run(make_plan(), make_recipe(), checkpoint=paths[0], weights_out=paths[1],\n"
        "           checkpoint_seconds=0)\n"
        "paths[2].write_text(json.dumps(done.to_json()))\n"
    )
    command = [sys.executable, "-c", script, str(saved), str(weights), str(result)]
    killed = subprocess.Popen(command, env=environment())
    wait_for(saved.exists, process=killed)
    time.sleep(0.001 * (os.getpid() % 60))  # a moment that differs from run to run
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    if not result.exists():
        subprocess.run(command, env=environment(), check=True)
    training = Training.from_json(json.loads(result.read_text()))
    assert (training.scores, curve_of(training)) == (whole.scores, curve_of(whole))
    assert weights.read_bytes() == expected


def test_a_finished_training_only_has_to_be_tested_again(
    tmp_path: Path, uninterrupted: tuple[Training, bytes], monkeypatch: Any
) -> None:
    saved = tmp_path / "c.pt"
    run(make_plan(), make_recipe(), checkpoint=saved)
    monkeypatch.setattr(loop, "forward_backward", None)  # training a step would fail
    again = run(make_plan(), make_recipe(), checkpoint=saved)
    assert again.scores == uninterrupted[0].scores
    assert again.clip_visits == 96


def test_a_damaged_checkpoint_costs_time_only(
    tmp_path: Path, uninterrupted: tuple[Training, bytes]
) -> None:
    saved = tmp_path / "c.pt"
    with pytest.raises(Interrupted):
        run(make_plan(), make_recipe(), checkpoint=saved, stop=_after(5))
    saved.write_bytes(saved.read_bytes()[:-2000])
    training = run(make_plan(), make_recipe(), checkpoint=saved)
    assert training.scores == uninterrupted[0].scores
    assert len(training.notes) == 1 and "c.pt ignored: unreadable" in training.notes[0]


def test_a_checkpoint_of_another_recipe_is_not_continued(
    tmp_path: Path, uninterrupted: tuple[Training, bytes]
) -> None:
    saved = tmp_path / "c.pt"
    with pytest.raises(Interrupted):
        run(make_plan(), make_recipe(lr=0.1), checkpoint=saved, stop=_after(5))
    training = run(make_plan(), make_recipe(), checkpoint=saved)
    assert training.scores == uninterrupted[0].scores
    assert training.notes == ("checkpoint c.pt ignored: of another recipe",)


def test_a_checkpoint_of_other_frames_under_the_same_names_is_not_continued(
    tmp_path: Path, uninterrupted: tuple[Training, bytes]
) -> None:
    saved, store = tmp_path / "c.pt", make_store()
    darker = dataclasses.replace(store, clips=[store.clips[0] // 2, *store.clips[1:]])
    with pytest.raises(Interrupted):
        run(make_plan(), make_recipe(), store=darker, checkpoint=saved, stop=_after(5))
    training = run(make_plan(), make_recipe(), checkpoint=saved)
    assert training.scores == uninterrupted[0].scores
    assert training.notes == ("checkpoint c.pt ignored: of another clip content, rate or size",)


def test_other_threads_are_noted_and_the_note_survives(tmp_path: Path) -> None:
    saved = tmp_path / "c.pt"
    for threads, batches in ((1, 10), (2, 1)):
        with pytest.raises(Interrupted):
            settings = {"checkpoint": saved, "stop": _after(batches), "threads": threads}
            run(make_plan(), make_recipe(), **settings)
    training = run(make_plan(), make_recipe(), checkpoint=saved, threads=2)
    assert training.notes == ("continued under other threads (2, was 1): not bit for bit",)
    assert training.status == "ok" and training.clip_visits == 96


def _after(batches: int) -> Any:
    """A stop that is wished once `batches` batches were done."""
    asked = iter(range(batches))
    return lambda: next(asked, None) is None


def test_divergence_is_an_outcome_with_its_step() -> None:
    training = run(make_plan(), make_recipe(lr=1e9))
    assert training.status == "diverged" and training.scores == ()
    assert training.reason is not None and f"/{STEPS}" in training.reason
    assert training.clip_visits < 96
    assert Training.from_json(json.loads(json.dumps(training.to_json()))) == training


def test_the_time_out_counts_the_time_before_a_resume(tmp_path: Path, monkeypatch: Any) -> None:
    saved = tmp_path / "c.pt"
    now = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])

    def slowly(progress: Progress) -> None:
        now[0] += 10

    settings = {"checkpoint": saved, "on_progress": slowly, "timeout": 65}
    with pytest.raises(Interrupted):
        run(make_plan(), make_recipe(), stop=_after(4), **settings)
    now[0] = 1000.0
    training = run(make_plan(), make_recipe(), **settings)
    assert (training.status, training.scores) == ("timeout", ())
    assert training.reason == "70 s spent of 65 s allowed, at step 7/12"
    assert training.seconds == 70 and training.clip_visits == 7 * 8


def test_exhausted_memory_is_an_outcome(monkeypatch: Any) -> None:
    def no_memory(*_: Any, **__: Any) -> step.Shown:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20 GiB")

    monkeypatch.setattr(loop, "forward_backward", no_memory)
    training = run(make_plan(), make_recipe())
    assert (training.status, training.clip_visits) == ("out of memory", 0)
    assert training.reason == "in training at step 1: CUDA out of memory."


def test_exhausted_memory_in_testing_is_answered_by_smaller_passes(
    monkeypatch: Any, uninterrupted: tuple[Training, bytes]
) -> None:
    softmax = scoring.Scorer._softmax

    def small(self: Any, views: tuple[torch.Tensor]) -> torch.Tensor:
        if len(views[0]) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return softmax(self, views)

    monkeypatch.setattr(scoring.Scorer, "_softmax", small)
    training = run(make_plan(), make_recipe())
    assert training.status == "ok" and len(training.notes) == 2
    expected = [score.nll for score in uninterrupted[0].scores]
    assert [score.nll for score in training.scores] == pytest.approx(expected, abs=1e-5)


def test_other_errors_are_raised(monkeypatch: Any) -> None:
    def broken(*_: Any, **__: Any) -> step.Shown:
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(loop, "forward_backward", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        run(make_plan(), make_recipe())


def test_fewer_clips_than_a_pass_are_repeated() -> None:
    training = run(make_plan(), make_recipe(clip_visits=16), train_indices=(0, 1, 2))
    assert training.status == "ok" and training.clip_visits == 16
    assert [row["epoch"] for row in training.curve] == [2, 6]  # 8 visits are 2.7 epochs of 3


@pytest.mark.parametrize(
    ("clips", "batch", "wanted"),
    [
        (10, 4, [1, 2, 3, 4, 5]),  # a batch runs over the end of most epochs, and of the last
        (8, 4, [1, 2, 3, 4, 5]),
        (7, 4, [1, 2, 3, 4, 5]),
        (10, 16, [1, 3, 4, 5]),  # the second ends within a batch, like the first
        (3, 16, [5]),
    ],
)
def test_five_epochs_are_five_rows_and_as_many_are_shown(
    clips: int, batch: int, wanted: list[int]
) -> None:
    recipe = make_recipe(clip_visits=None, epochs=5, batch=batch, bn_batch=4)
    seen: list[Progress] = []
    indices = tuple(range(clips))
    training = run(make_plan(), recipe, train_indices=indices, on_progress=seen.append)
    assert [row["epoch"] for row in training.curve] == wanted
    assert {each.epochs for each in seen} == {5} and max(each.epoch for each in seen) == 5


def test_progress_counts_up_through_both_phases() -> None:
    seen: list[Progress] = []
    run(make_plan(), make_recipe(), on_progress=seen.append)
    trained = [p for p in seen if p.phase == "train"]
    tested = [p for p in seen if p.phase == "test"]
    assert seen == trained + tested
    assert [p.visits_done for p in trained] == list(range(8, 97, 8))
    assert [p.epoch for p in trained] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert {(p.visits_total, p.epochs) for p in trained} == {(96, 6)}
    assert [p.visits_done for p in tested] == [4, 8, 12, 16] and tested[-1].visits_total == 16
    assert all(p.clips_per_second > 0 and 0 <= p.accuracy <= 1 for p in seen)
    assert trained[0].lr == pytest.approx(0.05 / 2)  # one warm-up step of 12


def test_training_without_held_out_clips_gives_weights_and_no_scores(tmp_path: Path) -> None:
    weights = tmp_path / "w"
    training = run(make_plan(), make_recipe(clip_visits=8), eval_indices=(), weights_out=weights)
    assert (training.status, training.scores, training.test_macs) == ("ok", (), 0)
    assert weights.exists()


def test_the_weights_are_the_networks_own(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from expand3d.networks import get_family

    weights = tmp_path / "sub" / "w.safetensors"
    run(make_plan(), make_recipe(clip_visits=8), weights_out=weights)
    network = get_family("x3d").build(make_plan())
    network.load_state_dict(load_file(weights))  # strict: every name, every shape


def test_no_clips_and_no_such_device_are_said_plainly() -> None:
    with pytest.raises(DataError, match="no clip"):
        run(make_plan(), make_recipe(), train_indices=())
    with pytest.raises(ConfigError, match="device = 'tpu9000'"):
        run(make_plan(), make_recipe(), device="tpu9000")


def test_each_clip_visit_happens_once_and_in_turn(tmp_path: Path, monkeypatch: Any) -> None:
    asked: list[range] = []
    make = classify.train_batch

    def recorded(*args: Any, start: int, count: int, **settings: Any) -> Any:
        asked.append(range(start, start + count))
        return make(*args, start=start, count=count, **settings)

    monkeypatch.setattr(classify, "train_batch", recorded)
    with pytest.raises(Interrupted):
        run(make_plan(), make_recipe(), checkpoint=tmp_path / "c.pt", stop=_after(7))
    ahead_of_use = len(asked) - 14  # 7 steps of 2 passes; the rest was read for nothing
    assert 0 <= ahead_of_use <= 2
    del asked[14:]
    run(make_plan(), make_recipe(), checkpoint=tmp_path / "c.pt")
    assert [visit for visits in asked for visit in visits] == list(range(96))
