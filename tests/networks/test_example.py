"""Inputs are spelled once: what `plan.inputs` says is what `example` makes and networks read."""

from __future__ import annotations

import pytest
import torch

from expand3d.core.inputs import Input
from expand3d.core.plugins import FAMILIES
from expand3d.networks import get_family
from expand3d.networks.example import example, example_views


def test_channels_and_pictures_of_an_input() -> None:
    stacked = Input(frames=2, stride=3, crop=32, stack=10, segments=3)
    assert (stacked.channels, stacked.pictures, stacked.shape) == (30, 6, (30, 6, 32, 32))
    assert stacked.at(48).shape == (30, 6, 48, 48)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_base_reads_its_example(name: str) -> None:
    family = get_family(name)
    plan = family.resolve(family.base, num_classes=7)
    batch = example(plan, 2)
    assert [tuple(clips.shape) for clips in batch] == [(2, *each.shape) for each in plan.inputs]
    with torch.inference_mode():
        assert family.build(plan).eval()(*batch).shape == (2, 7)


def test_a_clip_is_one_input_of_rgb_where_a_family_says_no_more() -> None:
    plan = get_family("r3d").resolve(get_family("r3d").base)
    (clip,) = example(plan, 2)
    assert clip.shape == (2, 3, plan.frames, plan.crop, plan.crop)


def test_an_example_is_stored_as_clips_are_and_draws_nothing() -> None:
    plan = get_family("x3d").resolve(get_family("x3d").base)
    state = torch.get_rng_state()
    (view,), (clip,) = example_views(plan, 1, crop=40), example(plan, 1, crop=40)
    assert torch.equal(torch.get_rng_state(), state)
    assert view.dtype == torch.uint8 and tuple(view.shape) == (1, 1, 40, 40, 3)
    assert torch.equal(clip, view.movedim(4, 1) / 255)
    assert 0 <= clip.min() < 0.1 and 0.9 < clip.max() <= 1
    (empty,) = example(plan, 1, device="meta")
    assert empty.is_meta and empty.shape == (1, 3, plan.frames, plan.crop, plan.crop)
