"""The networks that samplers draw: a cost up to the budget, and shares of the growth up to it.

A point has one coordinate for the cost and one less than there are axes for the shares, each from 0
to 1. Half of the points lie at the budget, the others below it, evenly in the logarithm of cost.
Every point is a network that arithmetic allows; only a restriction or a limit beside the budget may
refuse one.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np

from expand3d.core.genotype import Genotype
from expand3d.networks import get_family
from expand3d.search.expansion.compound import Reach
from expand3d.search.samplers.shares import shared, shares_of
from expand3d.search.samplers.space import RESTRICTED, Dimension, Order, Space, Verdict
from expand3d.search.samplers.trained import Trained
from expand3d.search.strategy import Given

#: What a sampler draws: a cost and shares of the growth, or each factor by itself.
Draw = Literal["shares", "factors"]
#: The part of the points that lie at the budget.
AT_BUDGET = 0.5
#: Points of a sequence that are drawn together, and the most of one sequence.
BLOCK, POINTS = 32, 4096
#: A sequence ends after so many points in a row that lead to networks it has had.
STALE = 256
#: The coordinate of a cost, and the first word of the others.
COST, STICK = "cost", "share"


@dataclass(frozen=True)
class Simplex:
    """The networks of `space`, drawn by cost and shares."""

    space: Space

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The ranges of factors within which networks lie."""
        return self.space.dimensions

    @property
    def budget(self) -> int:
        return self.space.budget

    @cached_property
    def axes(self) -> tuple[str, ...]:
        return get_family(self.space.family).axes

    @property
    def coordinates(self) -> tuple[str, ...]:
        """The names of a point's coordinates."""
        return (COST, *(f"{STICK} {axis}" for axis in self.axes[:-1]))

    @cached_property
    def reach(self) -> Reach:
        of = self.space
        family = get_family(of.family)
        return Reach(family, of.limits, of.num_classes, of.budget, of.price)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of what a network can have too much of; the cost is none of them."""
        also = set(self.space.names) - {"cost", "crop", "duration"}
        return tuple(name for name in self.space.names if name in also)

    def distributions(self) -> dict[str, Any]:
        """Optuna's distribution of each coordinate."""
        from optuna.distributions import FloatDistribution

        return {name: FloatDistribution(0.0, 1.0) for name in self.coordinates}

    def params(self, network: Trained) -> dict[str, float]:
        """The coordinates of a trained network; of the start, which was not drawn, the middle."""
        middle = (0.0, *[0.5] * (len(self.axes) - 1))
        return dict(zip(self.coordinates, network.point or middle, strict=True))

    def judge_params(self, params: Mapping[str, float]) -> Verdict:
        """The network at a point."""
        return self.at(tuple(params[name] for name in self.coordinates))

    def at(self, point: Sequence[float]) -> Verdict:
        """The network at a point, with the limit that it exceeds, if any."""
        return _at(self, tuple(float(place) for place in point))

    def judge(self, genotype: Genotype) -> Verdict:
        """The network's cost, and the limit that it exceeds, if any."""
        return self.space.judge(genotype)

    def target(self, level: float) -> int:
        """The cost at a level: the budget from AT_BUDGET up, below it by ratio from the start."""
        start = self.reach.cost(self.space.start)
        share = min(1.0, level / (1 - AT_BUDGET))
        return min(self.space.budget, round(start * (self.space.budget / start) ** share))

    def resolve(self, shares: Mapping[str, float], target: int) -> Genotype:
        """The network that shares the growth to `target` so."""
        return shared(self.reach, self.space.start, shares, target)

    def points(self, order: Order, seed: int) -> Iterator[Verdict]:
        """The networks of a sequence of points, which a network may come to more than once.

        "qmc" is a scrambled Sobol sequence. Only `seed` decides, never what was proposed before.
        """
        had: set[str] = set()
        stale = 0
        for block in range(POINTS // BLOCK):
            for verdict in _block(self, order, seed, block):
                assert verdict.plan is not None
                new = verdict.plan.digest not in had
                had.add(verdict.plan.digest)
                stale = 0 if new else stale + 1
                if stale > STALE:
                    return
                yield verdict

    def legal(self, order: Order, seed: int, *, blocks: int) -> Iterator[Verdict]:
        """The networks of a sequence that nothing refuses."""
        return (verdict for verdict in self.points(order, seed) if verdict.reason is None)

    def refused(self, order: Order, seed: int, *, blocks: int) -> Counter[str]:
        """The number of points of a sequence that something refuses, by what."""
        reasons = (verdict.reason for verdict in self.points(order, seed))
        return Counter(reason for reason in reasons if reason is not None)

    def refusal(self, order: Order, seed: int, *, blocks: int) -> str | None:
        """The reason why a network is refused, of which an axis of the start passes over some."""
        refused = (each for each in self.points(order, seed) if each.reason == RESTRICTED)
        found = next((each.refusal for each in refused), None)
        if found is None and self.space.limits.restrictions:
            found = self.reach.refused(self.axes, self.space.start)
        return None if found is None else found.removeprefix("refused: ")

    def near_misses(self, count: int) -> tuple[Verdict, ...]:
        """None: the border of the space is known."""
        return ()

    def grid(self, most: int, *, beside: frozenset[str] = frozenset()) -> tuple[Verdict, ...]:
        """The networks of the finest grid that has at most `most`, cheapest first.

        A lattice of shares, each a multiple of 1/n, at levels of cost: the budget, and then ever
        halfway between levels, in the logarithm, so that a finer grid holds the coarser one. With
        the networks `beside` it, by digest, there are at most so many too.
        """
        for found in reversed(_grids(self, most)):
            if len(found.keys() | beside) <= most:
                return tuple(found.values())
        return ()


def every_axis_costs(given: Given) -> bool:
    """True where each axis adds to what the budget counts; one that does not can take no share."""
    start, price = given.start, given.price
    if price.measured:  # time follows the multiply-adds of every axis
        return True
    family = get_family(start.family)

    def cost(setting: Genotype) -> int:
        return price.of(family.resolve(setting, num_classes=given.num_classes))

    # A width of 1.01 may still be rounded to the same channels, so that the largest is looked at.
    grown = (list(family.grow(axis, start, given.limits)) for axis in family.axes)
    return all(cost(settings[-1]) > cost(start) for settings in grown if settings)


@lru_cache(maxsize=8192)
def _at(simplex: Simplex, point: tuple[float, ...]) -> Verdict:
    shares = shares_of(simplex.axes, point[1:])
    genotype = simplex.resolve(shares, simplex.target(point[0]))
    return replace(simplex.judge(genotype), point=point)


@lru_cache(maxsize=512)
def _block(simplex: Simplex, order: Order, seed: int, block: int) -> tuple[Verdict, ...]:
    count = len(simplex.coordinates)
    if order == "random":
        points = np.random.default_rng((seed, block)).random((BLOCK, count))
    else:
        from scipy.stats.qmc import Sobol

        engine = Sobol(count, scramble=True, rng=np.random.default_rng(seed))
        if block:
            engine.fast_forward(block * BLOCK)
        points = engine.random(BLOCK)
    return tuple(simplex.at(point) for point in points)


@lru_cache(maxsize=8)
def _grids(simplex: Simplex, most: int) -> tuple[Mapping[str, Verdict], ...]:
    """Ever finer grids of at most `most` networks, the coarsest the start alone; by digest."""
    start = simplex.judge(simplex.space.start)
    assert start.plan is not None
    base = {start.plan.digest: start}
    grids: list[dict[str, Verdict]] = [base]
    axes = len(simplex.axes)
    for parts in itertools.count(1):
        lattice = math.comb(parts + axes - 1, axes - 1)
        if lattice > 2 * most:  # of equal networks one stands for all
            break
        # The more parts, the more levels: about as many as there are parts, and a few more.
        for levels in range(1, min(parts + 3, 2 * most // lattice) + 1):
            found = {**base, **dict(_lattice(simplex, parts, levels))}
            if len(found) <= most:
                grids.append(_cheapest_first(found))
    return tuple(sorted(grids, key=len))


def _lattice(simplex: Simplex, parts: int, levels: int) -> Iterator[tuple[str, Verdict]]:
    """The networks of a lattice that nothing refuses, by digest."""
    start, budget = simplex.reach.cost(simplex.space.start), simplex.space.budget
    for place in range(levels):
        target = round(start * (budget / start) ** _level(place))
        for cuts in itertools.combinations(range(parts + len(simplex.axes) - 1), parts):
            # Stars and bars: `parts` stars fall among the axes.
            stars = Counter(cut - place for place, cut in enumerate(cuts))
            shares = {axis: stars[place] / parts for place, axis in enumerate(simplex.axes)}
            verdict = simplex.judge(simplex.resolve(shares, min(target, budget)))
            if verdict.reason is None and verdict.plan is not None:
                yield verdict.plan.digest, verdict


def _level(place: int) -> float:
    """The share of the way to the budget of a level: 1, 1/2, 3/4, 1/4, 7/8, 3/8, 5/8, 1/8, ..."""
    share, half = 1.0, 0.5
    while place:
        share -= half * (place & 1)
        place, half = place >> 1, half / 2
    return share


def _cheapest_first(found: Mapping[str, Verdict]) -> dict[str, Verdict]:
    return dict(sorted(found.items(), key=lambda item: (item[1].price, item[0])))
