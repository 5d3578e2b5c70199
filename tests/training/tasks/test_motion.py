"""Flow learned from the losses alone, against motion that is known; and the losses by hand."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from expand3d.core.errors import DataError
from expand3d.core.recipe import Recipe
from expand3d.core.result import Interrupted
from expand3d.networks import get_family
from expand3d.training.placement import place
from expand3d.training.tasks.motion import MotionTask, _pairs, learn_motion
from expand3d.training.tasks.photometric import (
    brightness,
    charbonnier,
    smoothness,
    structure,
    warped,
)
from expand3d.training.views import test_view as view_of
from tests.helpers.moving import Moving, moving

SIDE = 64
HIDDEN = get_family("hidden_twostream")
RECIPE = Recipe(
    "motion", 4_000, None, batch=16, bn_batch=16, lr=1e-3, weight_decay=0, jitter=(1.0, 1.25)
)


def velocities(count: int) -> list[tuple[float, float]]:
    """Directions all around, of 2 to 4 pixels a frame."""
    draw = np.random.default_rng(0)
    lengths, angles = draw.uniform(2, 4, count), draw.uniform(0, 2 * math.pi, count)
    pairs = zip(lengths, angles, strict=True)
    return [(float(r * math.cos(a)), float(r * math.sin(a))) for r, a in pairs]


def task_of(count: int, held_out: int, recipe: Recipe = RECIPE, **factors: float) -> MotionTask:
    clips = [moving(v, frames=4, seed=n, side=SIDE) for n, v in enumerate(velocities(count))]
    factors = {"gamma_s": SIDE / 112, "pairs": 1, "motion_width": 0.25, **factors}
    plan: Any = HIDDEN.resolve(HIDDEN.base.replace(**factors), num_classes=2)
    train = tuple(range(count - held_out))
    rest = tuple(range(count - held_out, count))
    return MotionTask(plan, Moving(clips), train, rest, recipe, 0)


def learned(task: MotionTask, folder: Path, **more: Any) -> Any:
    files = {"weights_out": folder / "w", "log": folder / "log", "checkpoint": folder / "c"}
    return learn_motion(task, **files, threads=1, **more)


@pytest.mark.slow
def test_flow_is_found_from_the_losses_alone(tmp_path: Path) -> None:
    """Held-out clips of known motion: the end-point error is below a third of zero flow's."""
    from safetensors.torch import load_file

    task = task_of(80, 20)
    scores = learned(task, tmp_path).scores
    assert scores.loss < scores.loss_of_no_flow / 2
    network = HIDDEN.build(task.plan).eval()
    network.load_state_dict(load_file(tmp_path / "w"))
    errors, lengths = [], []
    for index in task.held_out:
        (view,) = view_of(task.store, index, plan=task.plan, recipe=RECIPE, moment=0, place=0)
        with torch.inference_mode():
            flow = network.get_submodule("motion")(place(RECIPE, threads=1).input(view[None]))
        wanted = torch.tensor(velocities(80)[index])[:, None, None]
        errors.append(float((flow[0, :, 0, 8:-8, 8:-8] - wanted).norm(dim=0).mean()))
        lengths.append(float(wanted.norm()))
    assert np.mean(lengths) >= 2
    assert np.mean(errors) < np.mean(lengths) / 3


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, clip_visits=64)
    task = task_of(12, 4, recipe, gamma_s=32 / 112, motion_width=1 / 8)
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = learned(task, tmp_path / "whole")
    asked = iter([False, False, True])
    with pytest.raises(Interrupted):
        learned(task, tmp_path / "parts", stop=lambda: next(asked, False))
    parts = learned(task, tmp_path / "parts")
    assert parts.scores == whole.scores and whole.clip_visits == 64
    first, second = ((tmp_path / name / "w").read_bytes() for name in ("whole", "parts"))
    assert first == second


def test_pairs_are_consecutive_frames_of_a_snippet() -> None:
    task = task_of(2, 1, pairs=3, gamma_s=32 / 112)
    (view,) = view_of(task.store, 0, plan=task.plan, recipe=RECIPE, moment=0, place=0)
    first, second = _pairs(view[None], place(RECIPE, threads=1))
    assert first.shape == second.shape == (3, 3, 32, 32)
    assert torch.equal(first[1:], second[:-1])
    assert torch.equal(first[0], view[0, ..., :3].permute(2, 0, 1) / 255)


def test_an_image_is_sampled_where_the_flow_points() -> None:
    image = torch.arange(20.0).view(1, 1, 4, 5)
    flow = torch.zeros(1, 2, 4, 5)
    flow[:, 0], flow[:, 1] = 1, 2  # right and down
    found, inside = warped(image, flow)
    assert torch.allclose(found[0, 0, :2, :4], image[0, 0, 2:, 1:], atol=1e-4)
    assert inside[0, 0].tolist() == [[1, 1, 1, 1, 0]] * 2 + [[0] * 5] * 2


def test_losses_by_hand() -> None:
    assert float(charbonnier(torch.tensor(3.0), 0.5)) == pytest.approx(3, abs=1e-5)
    first, second = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 2 / 255)
    inside = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    assert float(brightness(first, second, inside)) == pytest.approx(4**0.4, rel=1e-4)
    flat = torch.full((1, 2, 3, 3), 5.0)
    assert float(smoothness(flat)) == pytest.approx(2 * (1e-6) ** 0.3, rel=1e-4)
    ramp = torch.arange(3.0).expand(1, 2, 3, 3)
    assert float(smoothness(ramp)) == pytest.approx(1 + (1e-6) ** 0.3, rel=1e-4)
    image = torch.rand(1, 3, 16, 16)
    assert float(structure(image, image)) == pytest.approx(0, abs=1e-5)
    assert float(structure(image, 1 - image)) > 1


def test_without_clips_nothing_is_learned(tmp_path: Path) -> None:
    task = dataclasses.replace(task_of(2, 1), held_out=())
    with pytest.raises(DataError, match="a part holds none"):
        learned(task, tmp_path)
