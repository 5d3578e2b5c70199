"""Networks at a given cost, whose growth the axes share: points of a simplex, resolved exactly.

A network drawn factor by factor costs far too much: of those with several frames nearly all exceed
a small budget. Here the cost is chosen first, and then how the axes share the growth up to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from expand3d.core.genotype import Genotype
from expand3d.search.expansion.compound import Reach, mended

#: The concentration of the symmetric Dirichlet that shares are drawn from: at 1 all shares are
#: equally likely; below it few axes take most. At 0.5 half of six axes take 90%.
CONCENTRATION = 0.5
#: A share is not worth a setting of its axis, where the axis is left to round off the others.
LEAST_SHARE = 0.02
#: A network is at its target where it costs this much less at most.
NEAR = 1.05


def shares_of(axes: Sequence[str], sticks: Sequence[float]) -> dict[str, float]:
    """A share of each axis, which add up to 1, by stick-breaking; one number less than axes.

    Each number, from 0 to 1, is the quantile of what its axis takes of what those before it left.
    Independent and uniform numbers give a Dirichlet of CONCENTRATION.
    """
    from scipy.special import betaincinv

    shares, left = {}, 1.0
    for place, (axis, stick) in enumerate(zip(axes, sticks, strict=False), start=1):
        after = CONCENTRATION * (len(axes) - place)
        shares[axis] = left * float(betaincinv(CONCENTRATION, after, min(1.0, max(0.0, stick))))
        left -= shares[axis]
    return {**shares, axes[-1]: max(0.0, left)}


def shared(reach: Reach, start: Genotype, shares: Mapping[str, float], target: int) -> Genotype:
    """The network in which each axis has its share of the logarithm of the growth to `target`.

    In the order of `shares`. What rounding leaves goes to the next axis, so that two which are too
    coarse for their shares make one step together; what the end of an axis leaves goes to all later
    ones. In the end those that have a share come as near to the target as they can, and then all
    others, where it is not reached to 5%.
    """
    now, left, owed = start, sum(shares.values()), 0.0
    for axis, share in shares.items():
        if left <= 0:
            break
        cost = reach.cost(now)
        if share >= LEAST_SHARE and cost < target:
            wanted = owed + (math.log(target / cost) - owed) * share / left
            now = reach.nearest(axis, now, cost * math.exp(wanted))
            ended = not reach.settings(axis, now)
            owed = 0.0 if ended else wanted - math.log(reach.cost(now) / cost)
        left -= share
    taking = tuple(axis for axis, share in shares.items() if share >= LEAST_SHARE)
    now = mended(reach, taking, now, target)
    return now if reach.cost(now) * NEAR >= target else mended(reach, tuple(shares), now, target)
