"""The shapes of multigrid trainings: frames, sides, steps and multiply-adds, and who has none."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Plan
from expand3d.core.plugins import FAMILIES
from expand3d.core.recipe import Recipe
from expand3d.networks import get_family, get_preset
from expand3d.networks.example import example
from expand3d.networks.multigrid import macs_of_visits, mean_macs, readable, shapes

RECIPE = Recipe("m", 1_000, None, batch=16, bn_batch=16, lr=0.1, multigrid="long")
SIDES = dataclasses.replace(RECIPE, multigrid="sides")


def preset(name: str) -> Plan:
    found = get_preset(name).genotype
    return get_family(found.family).resolve(found, num_classes=5)


def sizes(plan: Plan, recipe: Recipe = RECIPE) -> list[tuple[int, int, int]]:
    return [(each.frames, each.stride, each.crop) for each in shapes(plan, recipe)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 112 / sqrt 2 is 79.2, 160 / sqrt 2 113.1, 224 / sqrt 2 158.4, 312 / sqrt 2 220.6.
        ("x2d", [(1, 1, 80), (1, 1, 80), (1, 1, 112), (1, 1, 112)]),
        ("x3d-xs", [(1, 1, 112), (2, 24, 112), (2, 24, 160), (4, 12, 160)]),
        ("x3d-s", [(3, 24, 112), (6, 12, 112), (6, 12, 160), (13, 6, 160)]),
        ("x3d-l", [(4, 20, 224), (8, 10, 224), (8, 10, 312), (16, 5, 312)]),
        # 4 frames of it leave nothing of a temporal pooling, so that 8 take their steps.
        ("s3d-torchvision", [(8, 4, 160), (8, 4, 160), (8, 4, 224), (16, 2, 224)]),
    ],
)
def test_shapes_of_published_networks(name: str, expected: list[tuple[int, int, int]]) -> None:
    plan = preset(name)
    assert sizes(plan) == expected
    assert shapes(plan, RECIPE)[-1] == plan
    assert shapes(plan, dataclasses.replace(RECIPE, multigrid="off")) == (plan,)
    span = (plan.frames - 1) * plan.stride
    assert all((frames - 1) * stride <= span for frames, stride, _ in expected)


def test_no_side_is_above_the_whole_clip_or_below_the_grid() -> None:
    plan = preset("x2d")
    for crop, smaller in ((32, 24), (16, 8), (8, 8), (33, 24), (7, 7)):
        found = sizes(dataclasses.replace(plan, frames=8, stride=2, crop=crop))
        assert found[:2] == [(2, 8, smaller), (4, 4, smaller)]
        assert found[2:] == [(4, 4, crop), (8, 2, crop)]


def counted(plan: Plan) -> int:
    """Multiply-adds of one clip, counted while torch builds and runs the network."""
    total = 0

    def count(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    network = get_family(plan.family).build(plan).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.Linear):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(*example(plan, 1))
    return total


def test_multiply_adds_are_those_of_each_shape() -> None:
    """63 steps: 15 of the smallest clips, 16 of each of the others."""
    plan = get_family("x3d").resolve(
        get_family("x3d").base.replace(gamma_t=4, gamma_tau=2, gamma_s=160 / 112), num_classes=5
    )
    taken = RECIPE.by_shape(range(63), steps=63)
    assert taken == (15, 16, 16, 16)
    each = [
        counted(dataclasses.replace(plan, frames=frames, crop=crop))
        for frames, crop in ((1, 112), (2, 112), (2, 160), (4, 160))
    ]
    # The paper's X2D, with 400 classes, is 20.67 M at 1 frame of 112 pixels.
    assert each[0] == pytest.approx(20.67e6 - 395 * 2048, rel=1e-3)
    visits = [16 * steps for steps in taken]
    wanted = 16 * (15 * each[0] + 16 * each[1] + 16 * each[2] + 16 * each[3])
    assert macs_of_visits(plan, "long", visits) == wanted
    assert mean_macs(plan, "long", tuple(visits)) == wanted // 1008
    assert wanted / (1008 * each[3]) == pytest.approx(0.47, abs=0.02)
    assert macs_of_visits(plan, "off", [1008]) == 1008 * each[3]
    sides = [counted(dataclasses.replace(plan, crop=crop)) for crop in (80, 112, 160)]
    assert macs_of_visits(plan, "sides", (1, 2, 3)) == sides[0] + 2 * sides[1] + 3 * sides[2]
    assert sum(sides) / (3 * sides[2]) == pytest.approx(0.59, abs=0.02)


@pytest.mark.parametrize(
    ("steps", "first"),
    [(1, (0, 0, 0, 0)), (2, (0, 0, 1, 1)), (3, (0, 0, 1, 2)), (63, (0, 15, 31, 47))],
)
def test_what_cannot_be_shared_evenly_is_larger_clips(steps: int, first: tuple[int, ...]) -> None:
    by_step = [RECIPE.shape_at(step, steps=steps) for step in range(steps + 2)]
    wanted = [max(k for k in range(4) if step >= first[k]) for step in range(steps + 2)]
    assert by_step == wanted and by_step[steps - 1] == 3
    for taken in (range(steps), range(steps // 2, steps), range(steps + 2), range(0)):
        counts = tuple(by_step[taken.start : taken.stop].count(k) for k in range(4))
        assert RECIPE.by_shape(taken, steps=steps) == counts
    plain = dataclasses.replace(RECIPE, multigrid="off")
    assert plain.by_shape(range(steps), steps=steps) == (steps,)
    assert {plain.shape_at(step, steps=steps) for step in range(steps)} == {0}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("c3d", "cannot read less than 16 frames of 112 pixels"),
        ("c3d-i3d", "has other weights in"),
        ("r2d-18", "has other weights in stem"),
        ("tsn-bninception-rgb", "reads segments, stacks or optical flow"),
        ("twostream-vgg16", "reads segments, stacks or optical flow"),
    ],
)
def test_who_cannot_read_smaller_clips_is_refused_by_name(name: str, why: str) -> None:
    plan = preset(name)
    with pytest.raises(ConfigError, match=f"network of {plan.family} {why}.*; leave it out"):
        shapes(plan, RECIPE)


@pytest.mark.parametrize("name", ["c3d", "twostream-vgg16"])
def test_linear_layers_over_all_pixels_read_no_smaller_side(name: str) -> None:
    with pytest.raises(ConfigError, match=r"multigrid = 'sides' .* has other weights in"):
        shapes(preset(name), SIDES)


def test_sides_alone_leave_frames_as_they_are() -> None:
    """160 / 2 is 80, 224 / 2 is 112, 224 / sqrt 2 is 158.4."""
    assert sizes(preset("x2d"), SIDES) == [(1, 1, 56), (1, 1, 80), (1, 1, 112)]
    assert sizes(preset("x3d-xs"), SIDES) == [(4, 12, 80), (4, 12, 112), (4, 12, 160)]
    assert sizes(preset("tsn-bninception-rgb"), SIDES)[0] == (3, 1, 112)
    taken = [SIDES.by_shape(range(steps), steps=steps) for steps in (1, 2, 62, 63)]
    assert taken == [(0, 0, 1), (0, 1, 1), (20, 21, 21), (21, 21, 21)]


def test_a_family_of_segments_is_refused_at_one_segment_too() -> None:
    family = get_family("tsn")
    with pytest.raises(ConfigError, match="segments"):
        shapes(family.resolve(family.base), RECIPE)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_the_weights_of_a_base_read_every_shape(name: str) -> None:
    family = get_family(name)
    plan = family.resolve(family.base, num_classes=3)
    kinds = ("off", "long", "sides")
    recipes = [dataclasses.replace(RECIPE, multigrid=kind) for kind in kinds]
    able = [recipe for recipe in recipes if readable(plan, recipe)]
    assert len(able) >= 2
    if len(able) == 3 and plan.frames == 1:
        plan = dataclasses.replace(plan, frames=8, stride=2)
    network = family.build(plan).eval()
    for shape in {shape for recipe in able for shape in shapes(plan, recipe)}:
        with torch.inference_mode():
            found = network(*example(shape, 2))
        streams = found if isinstance(found, tuple) else (found,)
        assert all(logits.shape == (2, 3) for logits in streams)
