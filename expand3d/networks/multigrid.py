"""The shapes of clips in a training by the multigrid schedule (arXiv 1912.00998, section 3.2).

One long cycle of the paper: clips of T frames and H pixels are read as T/4 frames of H / sqrt 2
pixels, T/2 of H / sqrt 2, T/2 of H, and whole. Frames are rounded down, to one at least. The
frames that are left lie as far apart as fit into the whole clip's time. Sides are the nearest
multiple of CROP_GRID, at most the whole clip's. A shape that is too small for a network's strides
is left out, and the next larger one takes its steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import lru_cache

from expand3d.core.errors import ConfigError, FactorError
from expand3d.core.genotype import Plan
from expand3d.core.inputs import Input
from expand3d.core.recipe import SHAPES, Recipe
from expand3d.networks import get_family
from expand3d.networks.clip_words import SEGMENTS
from expand3d.networks.factors import CROP_GRID
from expand3d.networks.operators import Cost

#: What the frames, and the side, of each shape but the last are divided by.
SMALLER = ((4, math.sqrt(2)), (2, math.sqrt(2)), (2, 1.0))
assert len(SMALLER) + 1 == SHAPES


def shapes(plan: Plan, recipe: Recipe) -> tuple[Plan, ...]:
    """The plans as which a training reads its clips, one after the other; the last is `plan`.

    One alone without `multigrid`. ConfigError where the network cannot read smaller clips by the
    same weights.
    """
    return _shapes(plan) if recipe.multigrid else (plan,)


def readable(plan: Plan, recipe: Recipe) -> bool:
    """True where a network can be trained by the recipe, as far as `multigrid` goes."""
    try:
        shapes(plan, recipe)
    except ConfigError:
        return False
    return True


def macs_of_visits(plan: Plan, visits: Sequence[int]) -> int:
    """Multiply-adds of forward passes over so many clips of each shape, or of whole ones alone."""
    plans = (plan,) if len(visits) == 1 else _shapes(plan)
    costs = (get_family(plan.family).cost(each).macs for each in plans)
    return sum(macs * count for macs, count in zip(costs, visits, strict=True))


@lru_cache(maxsize=4096)
def _shapes(plan: Plan) -> tuple[Plan, ...]:
    family = get_family(plan.family)
    clip = Input(plan.frames, plan.stride, plan.crop)
    if plan.inputs != (clip,) or SEGMENTS in family.factors:
        raise _refused(plan, "reads stacks, segments or optical flow, not one clip of RGB frames")
    whole, found = family.cost(plan), [plan]
    for frames, side in reversed(SMALLER):
        shape = _smaller(plan, frames, side)
        try:
            cost = family.cost(shape)
        except FactorError:
            shape = found[0]
        else:
            _refuse_other_weights(plan, whole, cost)
        found.insert(0, shape)
    if found[0] == plan:
        raise _refused(plan, f"cannot read less than {plan.frames} frames of {plan.crop} pixels")
    return tuple(found)


def _smaller(plan: Plan, over: int, side: float) -> Plan:
    frames = max(1, plan.frames // over)
    # One frame has stride 1 by definition.
    stride = plan.stride * (plan.frames // frames) if frames > 1 else 1
    nearest = max(1, round(plan.crop / side / CROP_GRID)) * CROP_GRID
    crop = min(plan.crop, nearest) if side > 1 else plan.crop
    return dataclasses.replace(plan, frames=frames, stride=stride, crop=crop)


def _refuse_other_weights(plan: Plan, whole: Cost, smaller: Cost) -> None:
    weights = {operator.name: operator.params for operator in smaller.operators}
    for operator in whole.operators:
        if weights.get(operator.name) != operator.params:
            raise _refused(plan, f"has other weights in {operator.name} for smaller ones")


def _refused(plan: Plan, why: str) -> ConfigError:
    return ConfigError(
        f"multigrid = true trains on smaller clips first, and this network of {plan.family} {why}; "
        "leave it out"
    )
