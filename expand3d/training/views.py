"""Views of one clip: everything that a network reads of it, for training at random and for tests.

All inputs of a network see the same moment, the same square and the same mirroring. So the draws
belong to the clip and its visit, never to an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from expand3d.core.genotype import Plan
from expand3d.core.inputs import Input
from expand3d.core.recipe import Recipe
from expand3d.data import crops, frames
from expand3d.data.flow.stacks import along, both_ways
from expand3d.data.store import ClipStore, bound_of, pictures, step_of

if TYPE_CHECKING:
    from torch import Tensor

#: One tensor per input of a plan, uint8 T x H x W x C, or N of them in a batch.
Views = tuple["Tensor", ...]


def train_view(
    store: ClipStore, index: int, *, plan: Plan, recipe: Recipe, seed: int, epoch: int
) -> Views:
    """A random view of clip `index`; random in (seed, epoch, clip) alone."""
    length, height, width = store.frames(index).shape[:3]
    draws = frames.generator("view", seed, epoch, store.keys[index])
    # Always five draws in this order: networks with other clips and crops share their luck.
    start, *rest = draws.random(5)
    moments = (start, *draws.random(_segments(plan) - 1))
    region = crops.train_region(
        height, width, crop=plan.crop, jitter=recipe.jitter, flip=recipe.flip, uniforms=rest
    )
    return _read(store, index, plan, _starts(store, plan, length, moments), region, plan.crop)


def test_view(
    store: ClipStore, index: int, *, plan: Plan, recipe: Recipe, moment: int, place: int
) -> Views:
    """View number `moment` in time and `place` in space, of test_views x test_crops."""
    length, height, width = store.frames(index).shape[:3]
    middle = Fraction(2 * moment + 1, 2 * recipe.test_views)
    starts = _starts(store, plan, length, [middle] * _segments(plan))
    region = crops.test_regions(height, width, recipe.test_crops)[place]
    side = crops.test_crop(plan.crop, recipe.test_crops)
    return _read(store, index, plan, starts, region, side)


def _segments(plan: Plan) -> int:
    return max(each.segments for each in plan.inputs)


def clip_frames(plan: Plan, *, distance: int = 1) -> int:
    """Frames of a video that a clip is made of, all segments one after the other.

    `distance` is that of the two images of a field of flow.
    """
    spans = []
    for each in plan.inputs:
        apart = 1 if each.made_of.source == "frames" else distance
        spans.append(each.segments * _span_of(each, stride=each.stride, apart=apart))
    return max(plan.duration, *spans)


def _span(store: ClipStore, each: Input) -> int:
    """Frames from the first to the last that a segment of an input is made of."""
    return _span_of(each, stride=_stride(store, each), apart=step_of(store, each.made_of.source))


def _span_of(each: Input, *, stride: int, apart: int) -> int:
    fields = 1 if each.made_of.source != "frames" else 0  # a field of flow reaches to a later frame
    return (each.frames - 1) * stride + (each.reach - 1 + fields) * apart + 1


def _starts(
    store: ClipStore, plan: Plan, length: int, moments: Sequence[float | Fraction]
) -> list[int]:
    """The first frame of each segment; all inputs fit behind it, if any does."""
    span = max(_span(store, each) for each in plan.inputs)
    return frames.segment_starts(length, span, moments)


def _read(
    store: ClipStore,
    index: int,
    plan: Plan,
    starts: Sequence[int],
    region: crops.Region,
    side: int,
) -> Views:
    return tuple(
        _read_input(store, index, each, starts[: each.segments], region, side)
        for each in plan.inputs
    )


def _read_input(
    store: ClipStore,
    index: int,
    each: Input,
    starts: Sequence[int],
    region: crops.Region,
    side: int,
) -> Tensor:
    """One input, uint8 T x side x side x C: the pictures of all segments, their stacks in C."""
    kind = each.made_of
    source = pictures(store, index, kind.source)
    stride = _stride(store, each)
    first = np.concatenate([start + stride * np.arange(each.frames) for start in starts])
    step = step_of(store, kind.source)
    if kind.both_ways:
        source = np.concatenate([source, pictures(store, index, "backward")])
        wanted = both_ways(first, each.reach, step=step, fields=len(source) // 2)
    else:
        wanted = np.minimum(first[:, None] + step * np.arange(each.reach), len(source) - 1)
    if kind.source != "frames":
        region = region.within(store.frames(index).shape[1:3], source.shape[1:3])
    if kind.along:
        source = along(np.asarray(source), wanted, bound=bound_of(store))
        wanted = np.arange(wanted.size)
    found = crops.read(source, wanted.reshape(-1), region, side, signed=kind.signed)
    if each.reach == 1:
        return found
    stacked = found.view(len(first), each.reach, side, side, kind.stored)
    return stacked.permute(0, 2, 3, 1, 4).flatten(3).contiguous()


def _stride(store: ClipStore, each: Input) -> int:
    """The stride of an input in frames that the store keeps."""
    assert store.every == 1 or each.reach == 1, "frames that follow each other are not kept"
    assert each.frames == 1 or each.stride % store.every == 0, "frames between those that are kept"
    return each.stride // store.every
