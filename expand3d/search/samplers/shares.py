"""Networks at a given cost, whose growth the axes share: points of a simplex, resolved exactly.

A network drawn factor by factor costs far too much: of those with several frames nearly all exceed
a small budget. Here the cost is chosen first, and then how the axes share the growth up to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from expand3d.core.genotype import Genotype
from expand3d.search.expansion.compound import Reach, mended

#: The Dirichlet's concentration: at 1 all shares are equally likely; below it few axes take most.
CONCENTRATION = 0.5
#: A share is not worth a setting of its axis, where the axis is left to round off the others.
LEAST_SHARE = 0.02
#: A network is at its target where it costs this much less at most.
NEAR = 1.05


def random_shares(axes: tuple[str, ...], rng: np.random.Generator) -> dict[str, float]:
    """A share of each axis, from a sparse Dirichlet; they add up to 1."""
    drawn = rng.dirichlet([CONCENTRATION] * len(axes))
    return dict(zip(axes, map(float, drawn), strict=True))


def shared(reach: Reach, start: Genotype, shares: Mapping[str, float], target: int) -> Genotype:
    """The network in which each axis has its share of the logarithm of the growth to `target`.

    In the order of `shares`. What rounding and the ends of axes leave goes to the later ones; in
    the end those that have a share come as near to the target as they can, and then all others,
    where it is not reached to 5%.
    """
    now, left = start, sum(shares.values())
    for axis, share in shares.items():
        if left <= 0:
            break
        cost = reach.cost(now)
        if share >= LEAST_SHARE and cost < target:
            aim = cost * math.exp(math.log(target / cost) * share / left)
            now = reach.nearest(axis, now, aim)
        left -= share
    taking = tuple(axis for axis, share in shares.items() if share >= LEAST_SHARE)
    now = mended(reach, taking, now, target)
    return now if reach.cost(now) * NEAR >= target else mended(reach, tuple(shares), now, target)
