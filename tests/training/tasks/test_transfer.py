"""Supervision transfer: the student learns, the teacher does not, and resuming changes no bit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from expand3d.core.errors import ConfigError, DataError
from expand3d.core.genotype import Plan
from expand3d.core.recipe import Recipe
from expand3d.core.result import Interrupted
from expand3d.networks import get_family
from expand3d.networks.weights.convert import convert
from expand3d.training.placement import place
from expand3d.training.tasks.transfer import (
    Teacher,
    Transferred,
    TransferTask,
    transfer,
    without_classifier,
)
from tests.helpers.train_toys import ArrayStore

RECIPE = Recipe("tiny", 3200, None, batch=32, bn_batch=32, lr=0.1, dropout=0.0, test_views=1)
SHORT = dataclasses.replace(RECIPE, clip_visits=48, batch=8, bn_batch=8)
STEPS = 6


def coloured(count: int = 160) -> ArrayStore:
    """Noise around a colour of each clip's own: a frame tells which clip it is of."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, size=(count, 1, 1, 1, 3))
    noise = rng.integers(-20, 20, size=(count, 4, 24, 24, 3))
    clips = list(np.clip(colours + noise, 0, 255).astype(np.uint8))
    return ArrayStore(clips, [0] * count, [f"c{i}" for i in range(count)], [None] * count)


def tiny(family: str, **factors: float) -> Plan:
    found = get_family(family)
    return found.resolve(found.base.replace(gamma_s=32 / 112, **factors), num_classes=3)


STUDENT = tiny("c3d", gamma_t=2, gamma_w=1 / 16)


def make_teacher() -> Teacher:
    torch.manual_seed(1)
    plan = tiny("t3d", kernel=1, stem_kernel=1, ttl=0)
    network, _, layer = without_classifier(get_family("t3d").build(plan).eval())
    return Teacher(network.requires_grad_(False), layer.in_features, plan.crop, "1")


def make_task(recipe: Recipe = SHORT, **changes: Any) -> TransferTask:
    parts = {"train": tuple(range(96)), "held_out": tuple(range(96, 160)), "seed": 0}
    settings: dict[str, Any] = {"teacher": make_teacher(), "store": coloured(), **parts}
    return TransferTask(STUDENT, recipe=recipe, **{**settings, **changes})


def run(task: TransferTask, folder: Path, **changes: Any) -> Transferred:
    return transfer(
        task,
        weights_out=folder / "weights",
        log=folder / "log",
        checkpoint=folder / "checkpoint",
        threads=1,
        **changes,
    )


def after(batches: int) -> Callable[[], bool]:
    asked = iter(range(10**6))
    return lambda: next(asked) == batches


@pytest.mark.slow
def test_the_student_learns_to_tell_pairs_apart_and_the_teacher_stays(tmp_path: Path) -> None:
    task = make_task(RECIPE)
    before = {name: value.clone() for name, value in task.teacher.network.state_dict().items()}
    result = run(task, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 101))
    losses = [row["loss"] for row in rows]
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) - 0.1
    # Chance tells 84 of 128 apart once in 4000 times.
    assert (result.pairs, result.clip_visits) == (128, 3200) and result.accuracy >= 84 / 128
    after_it = task.teacher.network.state_dict()
    assert all(torch.equal(value, after_it[name]) for name, value in before.items())
    assert before.keys() == after_it.keys() and not task.teacher.network.training


def test_the_weights_fit_the_network_and_its_classifier_is_fresh(tmp_path: Path) -> None:
    run(make_task(), tmp_path)
    weights = load_file(tmp_path / "weights")
    family = get_family("c3d")
    family.build(STUDENT).load_state_dict(convert(STUDENT, weights))
    assert weights["head.fc.weight"].shape == (3, 32)
    assert abs(weights["head.fc.weight"].std() - 0.01) < 0.004 and not weights["head.fc.bias"].any()
    assert not torch.equal(weights["conv1.0.bn.weight"], torch.ones(8))  # it has learned


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Transferred, bytes, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    result = run(make_task(), folder)
    return result, (folder / "weights").read_bytes(), (folder / "log").read_bytes()


def test_resuming_after_any_step_changes_no_bit(
    tmp_path: Path, whole: tuple[Transferred, bytes, bytes]
) -> None:
    for steps in (1, 3, 0, 1):
        with pytest.raises(Interrupted, match="stopped at step"):
            run(make_task(), tmp_path, stop=after(steps))
        assert not (tmp_path / "weights").exists()
    with (tmp_path / "log").open("a") as log:  # steps that no checkpoint knows of
        log.write('{"step": 6}\n{"step": 7}\n')
    said: list[str] = []
    result = run(make_task(), tmp_path, say=said.append)
    assert said == [f"goes on after step 5 of {STEPS}"]
    outcome = result, (tmp_path / "weights").read_bytes(), (tmp_path / "log").read_bytes()
    assert outcome == whole


def test_a_checkpoint_of_another_task_is_left_alone(
    tmp_path: Path, whole: tuple[Transferred, bytes, bytes]
) -> None:
    with pytest.raises(Interrupted):
        run(make_task(seed=1), tmp_path, stop=after(2))
    said: list[str] = []
    run(make_task(), tmp_path, say=said.append)
    assert said == ["checkpoint checkpoint ignored: of another seed"]
    assert (tmp_path / "weights").read_bytes() == whole[1]
    assert (tmp_path / "log").read_bytes() == whole[2]


@pytest.mark.slow
def test_a_checkpoint_of_other_frames_is_left_alone(
    tmp_path: Path, whole: tuple[Transferred, bytes, bytes]
) -> None:
    store = coloured()
    for changed in (0, 100):  # a clip that trains, and one that is held out
        clips = [255 - clip if i == changed else clip for i, clip in enumerate(store.clips)]
        task = make_task(store=dataclasses.replace(store, clips=clips))
        with pytest.raises(Interrupted):
            run(task, tmp_path, stop=after(2))
        said: list[str] = []
        run(make_task(), tmp_path, say=said.append)
        assert said == ["checkpoint checkpoint ignored: of another clip content, rate or size"]
        assert (tmp_path / "weights").read_bytes() == whole[1]
        (tmp_path / "checkpoint").unlink()


class MeanColour(nn.Module):
    """N x 3 x 1 x H x W to N x 3."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[2] == 1
        return x.mean(dim=(2, 3, 4))


def test_a_teacher_sees_single_frames_in_its_own_normalisation() -> None:
    frames = torch.randint(0, 256, (2, 4, 8, 8, 3), dtype=torch.uint8)
    placement = place(RECIPE, threads=1)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    found = Teacher(MeanColour(), 3, 8, "1", mean, std).features(frames, placement)
    colours = frames.double().mean(dim=(1, 2, 3)) / 255
    expected = (colours - torch.tensor(mean)) / torch.tensor(std)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    ours = Teacher(MeanColour(), 3, 8, "1").features(frames, placement).double()
    torch.testing.assert_close(ours, (colours - 0.45) / 0.225, rtol=0, atol=1e-5)


def test_what_cannot_be_learned_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the validation part holds 1 clips; pairs need 2"):
        run(make_task(held_out=(5,)), tmp_path)
    with pytest.raises(ConfigError, match=r"lr = 1e\+20 is too much: the loss became"):
        run(make_task(dataclasses.replace(SHORT, lr=1e20)), tmp_path)
