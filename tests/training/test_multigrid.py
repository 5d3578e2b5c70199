"""Trainings that read smaller clips first: shapes by step, what they cost, and the same bits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Plan, digest
from expand3d.core.recipe import Recipe
from expand3d.core.result import Interrupted, Training
from expand3d.networks.families.x3d import FAMILY
from expand3d.training.batches import train_batch
from expand3d.training.checkpoint import load
from expand3d.training.placement import place
from expand3d.training.precise_norm import reestimate
from expand3d.training.tasks.classify import ClassifyTask
from expand3d.training.tasks.unlabelled import Unlabelled
from expand3d.training.tasks.unlabelled import trained as learned
from tests.helpers.train_toys import make_plan, make_recipe, make_store, trained

#: 12 steps of 8 visits: three of each shape.
BEGINS = (0, 3, 6, 9)


def multigrid(**changes: Any) -> Recipe:
    return make_recipe(**{"multigrid": "long", **changes})


def task(plan: Plan, recipe: Recipe) -> ClassifyTask:
    return ClassifyTask(plan, make_store(), tuple(range(16)), tuple(range(16, 24)), recipe, 5)


def bits(training: Training, folder: Path) -> tuple[Any, ...]:
    curve = [{**row, "seconds": 0} for row in training.curve]
    kept = (training.status, training.scores, training.training_macs, training.notes)
    return (*kept, curve, (folder / "weights").read_bytes())


@pytest.mark.parametrize(
    ("frames", "shapes"),
    [(4, [(1, 24), (2, 24), (2, 32), (4, 32)]), (1, [(1, 24), (1, 24), (1, 32), (1, 32)])],
)
def test_a_batch_has_the_shape_of_its_step(frames: int, shapes: list[tuple[int, int]]) -> None:
    """Two passes of four clips a step; every step past the end reads whole clips."""
    read = task(make_plan(frames=frames, stride=1), multigrid())
    for step in (*range(12), 12, 40):
        wanted = shapes[max(k for k in range(4) if step >= BEGINS[k])]
        for number in (2 * step, 2 * step + 1):
            (views,), labels, _ = read.batch(number)
            assert (len(views), *views.shape[1:4]) == (4, *wanted, wanted[1])
            assert labels.tolist() == plain_labels(number)


def test_a_batch_of_sides_alone_has_all_frames() -> None:
    """32 / 2 is 16, 32 / sqrt 2 is 22.6; 12 steps are four of each."""
    read = task(make_plan(frames=4, stride=1), multigrid(multigrid="sides"))
    found = [tuple(read.batch(2 * step).views[0].shape[1:4]) for step in (3, 4, 7, 8, 11, 12)]
    assert found == [(4, s, s) for s in (16, 24, 24, 32, 32, 32)]


def plain_labels(number: int) -> list[int]:
    """The classes of a pass without multigrid: the same clips are visited."""
    return task(make_plan(), make_recipe()).batch(number).labels.tolist()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Training]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, trained(folder, multigrid())


def test_multiply_adds_are_those_of_the_clips_that_were_read(whole: tuple[Path, Training]) -> None:
    """The plan reads 2 frames of 32 pixels, so that two shapes are one frame of 24."""
    _, training = whole
    plan = make_plan()
    small, narrow, full = (
        FAMILY.cost(dataclasses.replace(plan, frames=frames, crop=crop)).macs
        for frames, crop in ((1, 24), (1, 32), (2, 32))
    )
    assert small < narrow < full
    assert training.training_macs == 3 * 24 * (2 * small + narrow + full)
    assert training.clip_visits == 96


@pytest.mark.parametrize(
    "stop", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (6, 9, 11))]
)
def test_stopped_where_the_shape_changes_it_goes_on_to_the_same_bits(
    stop: int, whole: tuple[Path, Training], tmp_path: Path
) -> None:
    asked = iter(range(stop))
    with pytest.raises(Interrupted, match=f"stopped at step {stop}/12"):
        trained(tmp_path, multigrid(), stop=lambda: next(asked, None) is None)
    folder, training = whole
    assert bits(trained(tmp_path, multigrid()), tmp_path) == bits(training, folder)


@pytest.mark.slow
@pytest.mark.parametrize("anneal", ["cosine", "average", "branch"])
def test_tested_at_any_step_it_goes_on_to_the_same_bits(anneal: str, tmp_path: Path) -> None:
    recipe = multigrid(anneal=anneal)
    undivided = trained(tmp_path / "whole", recipe)
    spent = 0
    for until in (24, 40, 72):
        training = trained(tmp_path / "parts", recipe, until=until)
        assert training.status == "ok" and training.training_macs > spent
        spent = training.training_macs
    parts = trained(tmp_path / "parts", recipe)
    assert parts.scores == undivided.scores
    files = [(tmp_path / name / "weights").read_bytes() for name in ("parts", "whole")]
    assert files[0] == files[1]
    if anneal != "branch":
        assert parts.training_macs == undivided.training_macs
        return
    # Branches of 1, 1 and 2 steps to steps 3, 5 and 9 were thrown away.
    plan = make_plan()
    small, narrow = (
        FAMILY.cost(dataclasses.replace(plan, frames=1, crop=crop)).macs for crop in (24, 32)
    )
    wanted = 3 * 8 * (2 * small + 2 * narrow)
    assert parts.training_macs - undivided.training_macs == wanted


@pytest.mark.parametrize("until", [None, pytest.param(40, marks=pytest.mark.slow)])
def test_statistics_of_batch_norm_are_those_of_whole_clips(
    until: int | None, whole: tuple[Path, Training], tmp_path: Path
) -> None:
    """16 passes past the end of the training: 64 clips."""
    folder = whole[0] if until is None else tmp_path
    if until is not None:
        trained(folder, multigrid(), until=until)
    state, _ = load(folder / "checkpoint", belongs={})
    assert state is not None
    plain, recipe = task(make_plan(), make_recipe()), multigrid()
    network = plain.build()
    network.load_state_dict(state["model"])
    placement = place(recipe, device="cpu", threads=1)
    batches = [
        train_batch(
            plain.store,
            plain.train_indices,
            plan=make_plan(),
            recipe=recipe,
            seed=5,
            start=96 + 4 * number,
            count=4,
        )
        for number in range(16)
    ]
    with placement.active():
        placement.model(network)
        reestimate(network, batches, lambda module, batch: plain.forward(module, batch, placement))
    tested = load_file(folder / "weights")
    for name, value in network.state_dict().items():
        assert torch.equal(value, tested[name]), name
        same = torch.equal(value, state["model"][name])
        assert same == (not name.endswith(("running_mean", "running_var"))), name


def test_a_recipe_without_it_is_named_as_before() -> None:
    assert "multigrid" not in make_recipe().to_json()
    assert multigrid().to_json() == {**make_recipe().to_json(), "multigrid": "long"}
    assert digest(make_recipe(multigrid="off").to_json()) == digest(make_recipe().to_json())
    assert Recipe.from_json(multigrid().to_json()) == multigrid()
    with pytest.raises(ConfigError, match="multigrid = True must be 'off', 'long' or 'sides'"):
        make_recipe(multigrid=True)


def test_a_training_without_labels_refuses_it(tmp_path: Path) -> None:
    labelled = task(make_plan(), multigrid())
    other = Unlabelled(labelled.plan, labelled.store, (0, 1), (2, 3), labelled.recipe, 5)
    run = learned(other, log=tmp_path / "log", checkpoint=tmp_path / "checkpoint")  # type: ignore[type-var]
    with pytest.raises(ConfigError, match="multigrid = 'long'"), run:
        pass
