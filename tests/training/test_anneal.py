"""Tests on the way of a training that keeps its rate: each is the test of one that ends there."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from expand3d.core.errors import ConfigError
from expand3d.core.recipe import Recipe
from expand3d.core.result import Interrupted, Training
from expand3d.training.averaged import GAMMA, Averaged
from expand3d.training.checkpoint import load
from expand3d.training.progress import Progress
from expand3d.training.step import lr_at
from tests.helpers.train_toys import make_recipe, trained

KINDS = ("branch", "average")


def run(folder: Path, *, anneal: str, visits: int = 160, **settings: Any) -> Training:
    """16 clips, steps of 8 visits; the warm-up ends after two steps, whatever the length.

    One view is tested, as on the way of any training.
    """
    recipe = make_recipe(clip_visits=visits, anneal=anneal, warmup=16 / visits, test_views=1)
    return trained(folder, recipe, **settings)


def bits(training: Training, folder: Path) -> tuple[Any, ...]:
    return training.status, training.scores, (folder / "weights").read_bytes()


@pytest.mark.parametrize("anneal", KINDS)
def test_a_test_on_the_way_is_that_of_a_training_which_ends_there(
    anneal: str, tmp_path: Path
) -> None:
    for rung in (24, 40):
        way = run(tmp_path / "way", anneal=anneal, visits=80, until=rung)
        whole = run(tmp_path / f"{rung}", anneal=anneal, visits=rung)
        assert bits(way, tmp_path / "way") == bits(whole, tmp_path / f"{rung}")
        assert way.clip_visits == whole.clip_visits == rung
    end = bits(run(tmp_path / "way", anneal=anneal, visits=80), tmp_path / "way")
    whole = run(tmp_path / "whole", anneal=anneal, visits=80)
    assert end == bits(whole, tmp_path / "whole")


@pytest.fixture(scope="module", params=KINDS)
def uninterrupted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, tuple[Any, ...], int]:
    """Two rungs: the kind, their weights and scores, and what was spent."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder, anneal=request.param, until=24)
    whole = run(folder, anneal=request.param, until=40)
    return request.param, bits(whole, folder), whole.training_macs


def test_stopped_in_a_test_on_the_way_it_trains_on_from_its_own_weights(
    uninterrupted: tuple[str, tuple[Any, ...], int], tmp_path: Path
) -> None:
    """Those that are tested, averaged or cooled down, are not those that go on."""
    anneal, expected, _ = uninterrupted
    seen: list[Progress] = []
    with pytest.raises(Interrupted):
        run(
            tmp_path,
            anneal=anneal,
            until=24,
            on_progress=seen.append,
            stop=lambda: bool(seen) and seen[-1].phase == "test",
        )
    run(tmp_path, anneal=anneal, until=24)
    assert bits(run(tmp_path, anneal=anneal, until=40), tmp_path) == expected


@pytest.mark.parametrize(
    "stop", [1, 3, *(pytest.param(stop, marks=pytest.mark.slow) for stop in (0, 2))]
)
def test_stopped_anywhere_it_goes_on_to_the_same_bits(
    uninterrupted: tuple[str, tuple[Any, ...], int], stop: int, tmp_path: Path
) -> None:
    """5 steps to the second rung, of which a branch takes the last; then tests."""
    anneal, expected, macs = uninterrupted
    asked = iter(range(stop))
    run(tmp_path, anneal=anneal, until=24)
    with pytest.raises(Interrupted):
        run(tmp_path, anneal=anneal, until=40, stop=lambda: next(asked, None) is None)
    cut = run(tmp_path, anneal=anneal, until=40)
    assert bits(cut, tmp_path) == expected
    assert cut.training_macs == macs


def test_branches_are_thrown_away_and_paid_for(tmp_path: Path) -> None:
    """Of 5 steps one cools down, of 10 two, of 20 four."""
    recipe = make_recipe(anneal="branch")
    assert [recipe.trunk(last) for last in (1, 2, 5, 10, 20)] == [1, 1, 4, 8, 16]
    assert make_recipe().trunk(20) == 20
    spent = []
    for until, trunk in ((40, 4), (80, 8), (None, 16)):
        training = run(tmp_path, anneal="branch", until=until)
        spent.append(training.training_macs / (3 * 1000 * 8))
        state, _ = load(tmp_path / "checkpoint", belongs={})
        assert state is not None and state["step"] == trunk
    assert spent == [5, 10 + 1, 20 + 1 + 2]


def test_the_rate_is_kept_and_a_branch_cools_it_down() -> None:
    recipe = make_recipe(lr=0.4, warmup=0.1, anneal="branch")
    rates = [lr_at(step, steps=20, recipe=recipe, last=10) for step in range(10)]
    assert rates[:8] == pytest.approx([0.4 / 3, 0.8 / 3, *[0.4] * 6])
    assert rates[8:] == pytest.approx([0.4 * (1 - math.sqrt(k / 3)) for k in (1, 2)])
    average = make_recipe(lr=0.4, warmup=0.1, anneal="average")
    assert lr_at(19, steps=20, recipe=average, last=20) == 0.4


def test_the_average_is_of_the_last_tenth() -> None:
    """Of the numbers 1 to n it is near n (gamma + 1) / (gamma + 2)."""
    network = nn.Linear(1, 1, bias=False)
    averaged = Averaged()
    for step in range(1, 401):
        nn.init.constant_(network.weight, step)
        averaged.add(network, step)
        if step in (40, 400):
            expected = step * (GAMMA + 1) / (GAMMA + 2)
            assert float(averaged.state["weight"]) == pytest.approx(expected, rel=0.02)
    again = nn.Linear(1, 1, bias=False)
    Averaged(averaged.state).put(again)
    assert torch.equal(again.weight, averaged.state["weight"])


def test_statistics_of_batch_norm_are_those_of_the_weights_that_are_tested(tmp_path: Path) -> None:
    """After 5 steps the running ones still hold half of what they began with."""
    run(tmp_path, anneal="average", until=40)
    state, _ = load(tmp_path / "checkpoint", belongs={})
    tested = load_file(tmp_path / "weights")
    assert state is not None
    means = [name for name in tested if name.endswith("running_mean")]
    assert means
    for name, value in tested.items():
        same = torch.equal(value, state["averaged"][name])
        assert same == ("running_" not in name), name


def test_a_recipe_keeps_what_it_was_written_as() -> None:
    assert "anneal" not in make_recipe().to_json()
    branch = make_recipe(anneal="branch")
    assert Recipe.from_json(branch.to_json()) == branch
    with pytest.raises(ConfigError, match="anneal = 'linear' must be 'cosine'"):
        make_recipe(anneal="linear")
