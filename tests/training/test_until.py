"""A training up to some visits, and on from there: the bits of one that was never divided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from expand3d.core.result import Interrupted, Training
from expand3d.training.checkpoint import load
from expand3d.training.progress import Progress
from tests.helpers.train_toys import make_recipe, trained


def run(folder: Path, **settings: Any) -> Training:
    """16 clips, 12 steps of 8 visits: 6 epochs of two steps each."""
    return trained(folder, settings.pop("recipe", make_recipe()), **settings)


def bits(training: Training, folder: Path) -> tuple[Any, ...]:
    """All of an outcome but its wall times and memory."""
    curve = [{**row, "seconds": 0} for row in training.curve]
    kept = (training.status, training.scores, training.clip_visits, training.notes)
    return (*kept, curve, (folder / "weights").read_bytes())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp("whole")
    return bits(run(folder), folder)


LONGER = [pytest.param(rungs, marks=pytest.mark.slow) for rungs in ((40,), (8, 24, 88))]


@pytest.mark.parametrize("rungs", [(16, 48), *LONGER])
def test_training_on_from_some_visits_changes_no_bit(
    rungs: tuple[int, ...], whole: tuple[Any, ...], tmp_path: Path
) -> None:
    for rung in rungs:
        training = run(tmp_path, until=rung)
        assert (training.status, training.clip_visits) == ("ok", rung)
    assert bits(run(tmp_path), tmp_path) == whole


def test_a_part_of_a_training_is_where_the_whole_one_passes(tmp_path: Path) -> None:
    """After 5 of 12 steps, in the midst of an epoch, at the whole recipe's learning rates."""
    part = run(tmp_path / "part", until=40)
    asked = iter(range(5))
    with pytest.raises(Interrupted):
        run(tmp_path / "stopped", stop=lambda: next(asked, None) is None)
    state, _ = load(tmp_path / "stopped" / "checkpoint", belongs={})
    assert state is not None and state["step"] == 5
    weights = load_file(tmp_path / "part" / "weights")
    assert weights.keys() == state["model"].keys()
    assert all(torch.equal(value, state["model"][name]) for name, value in weights.items())
    assert [row["epoch"] for row in part.curve] == [1, 2]  # the third has one step more
    assert [row["lr"] for row in part.curve] == [row["lr"] for row in state["curve"]]
    assert len(part.scores) == 8 and part.training_macs == 3 * 1000 * 40


def test_visits_are_whole_batches_and_end_with_the_recipe(
    whole: tuple[Any, ...], tmp_path: Path
) -> None:
    assert run(tmp_path / "up", until=41).clip_visits == 48
    assert bits(run(tmp_path / "far", until=10**6), tmp_path / "far") == whole


def test_a_test_on_the_way_reads_one_view_of_a_clip(tmp_path: Path) -> None:
    part = run(tmp_path, until=24)
    whole = run(tmp_path)
    assert 2 * part.test_macs == whole.test_macs == 2 * 8 * 1000
    assert len(part.scores) == len(whole.scores) == 8


def test_a_checkpoint_beyond_is_tested_as_it_is(tmp_path: Path) -> None:
    beyond = run(tmp_path, until=48)
    again = run(tmp_path, until=24)
    assert (again.clip_visits, again.scores) == (48, beyond.scores)


def test_progress_counts_up_to_the_visits_that_are_asked_for(tmp_path: Path) -> None:
    seen: list[Progress] = []
    run(tmp_path, until=24, on_progress=seen.append)
    trained = [(each.visits_done, each.visits_total) for each in seen if each.phase == "train"]
    assert trained == [(8, 24), (16, 24), (24, 24)]
    assert {each.epochs for each in seen} == {2}  # 24 visits of 16 clips
    rest: list[Progress] = []
    run(tmp_path, on_progress=rest.append)
    assert rest[0].visits_done == 32 and rest[0].visits_total == 96


def test_a_stop_before_the_visits_and_after_them(whole: tuple[Any, ...], tmp_path: Path) -> None:
    asked = iter(range(2))
    with pytest.raises(Interrupted, match="stopped at step 2/12"):
        run(tmp_path, until=24, stop=lambda: next(asked, None) is None)
    assert run(tmp_path, until=24).clip_visits == 24
    with pytest.raises(Interrupted, match="stopped at step 3/12"):
        run(tmp_path, stop=lambda: True)
    assert bits(run(tmp_path), tmp_path) == whole
