"""The shapes of clips in trainings that read smaller ones first (multigrid, arXiv 1912.00998).

"long" is one long cycle of the paper (section 3.2): clips of T frames and H pixels are read as T/4
frames of H / sqrt 2 pixels, T/2 of H / sqrt 2, T/2 of H, and whole. "sides" keeps all frames, and
reads the sides of the paper's short cycle, the smallest first: H / 2, H / sqrt 2, H.

Frames are rounded down, to one at least. The frames that are left lie as far apart as fit into the
whole clip's time. Sides are the nearest multiple of CROP_GRID, at most the whole clip's. A shape
that is too small for a network's strides is left out, and the next larger one takes its steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from expand3d.core.errors import ConfigError, FactorError
from expand3d.core.genotype import Plan
from expand3d.core.inputs import Input
from expand3d.core.recipe import SHAPES, Multigrid, Recipe
from expand3d.networks import get_family
from expand3d.networks.clip_words import SEGMENTS
from expand3d.networks.factors import CROP_GRID
from expand3d.networks.operators import Cost

#: What the frames, and the side, of each shape but the last are divided by.
SMALLER: Mapping[Multigrid, Sequence[tuple[int, float]]] = {
    "off": (),
    "long": ((4, math.sqrt(2)), (2, math.sqrt(2)), (2, 1.0)),
    "sides": ((1, 2.0), (1, math.sqrt(2))),
}
assert all(len(SMALLER[kind]) + 1 == SHAPES[kind] for kind in SMALLER)


def shapes(plan: Plan, recipe: Recipe) -> tuple[Plan, ...]:
    """The plans as which a training reads its clips, one after the other; the last is `plan`.

    ConfigError where the network cannot read smaller clips by the same weights.
    """
    return _shapes(plan, recipe.multigrid)


def readable(plan: Plan, recipe: Recipe) -> bool:
    """True where a network can be trained by the recipe, as far as `multigrid` goes."""
    try:
        shapes(plan, recipe)
    except ConfigError:
        return False
    return True


def macs_of_visits(plan: Plan, kind: Multigrid, visits: Sequence[int]) -> int:
    """Multiply-adds of forward passes over so many clips of each shape."""
    costs = (get_family(plan.family).cost(each).macs for each in _shapes(plan, kind))
    return sum(macs * count for macs, count in zip(costs, visits, strict=True))


@lru_cache(maxsize=4096)
def mean_macs(plan: Plan, kind: Multigrid, visits: tuple[int, ...]) -> int:
    """Multiply-adds of the mean clip of so many of each shape, rounded down."""
    return macs_of_visits(plan, kind, visits) // sum(visits)


def _shapes(plan: Plan, kind: Multigrid) -> tuple[Plan, ...]:
    return (plan,) if kind == "off" else _smaller_first(plan, kind)


@lru_cache(maxsize=4096)
def _smaller_first(plan: Plan, kind: Multigrid) -> tuple[Plan, ...]:
    family, found = get_family(plan.family), [plan]
    clip = Input(plan.frames, plan.stride, plan.crop)
    if kind == "long" and (plan.inputs != (clip,) or SEGMENTS in family.factors):
        why = "reads segments, stacks or optical flow"
        raise _refused(plan, kind, why, instead=", or take 'sides'")
    whole = family.cost(plan)
    for frames, side in reversed(SMALLER[kind]):
        shape = _smaller(plan, frames, side)
        try:
            cost = family.cost(shape)
        except FactorError:
            shape = found[0]
        else:
            _refuse_other_weights(plan, kind, whole, cost)
        found.insert(0, shape)
    if found[0] == plan:
        least = f"{plan.frames} frames of {plan.crop} pixels"
        raise _refused(plan, kind, f"cannot read less than {least}")
    return tuple(found)


def _smaller(plan: Plan, over: int, side: float) -> Plan:
    frames = max(1, plan.frames // over)
    stride = plan.stride
    if frames < plan.frames:  # one frame has stride 1 by definition
        stride = plan.stride * (plan.frames // frames) if frames > 1 else 1
    nearest = max(1, round(plan.crop / side / CROP_GRID)) * CROP_GRID
    crop = min(plan.crop, nearest) if side > 1 else plan.crop
    return dataclasses.replace(plan, frames=frames, stride=stride, crop=crop)


def _refuse_other_weights(plan: Plan, kind: Multigrid, whole: Cost, smaller: Cost) -> None:
    weights = {operator.name: operator.params for operator in smaller.operators}
    for operator in whole.operators:
        if weights.get(operator.name) != operator.params:
            raise _refused(plan, kind, f"has other weights in {operator.name} for smaller ones")


def _refused(plan: Plan, kind: Multigrid, why: str, *, instead: str = "") -> ConfigError:
    return ConfigError(
        f"multigrid = {kind!r} trains on smaller clips first, and this network of {plan.family} "
        f"{why}; leave it out{instead}"
    )
