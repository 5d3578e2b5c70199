"""The networks that a sampler may propose: one whole-numbered dimension per axis of the family.

Every dimension starts at the start's value, as the expansion does, and ends where that factor alone
would use up the budget or the data. No network at or above the start that the budget allows lies
outside. Where the factors together cost or last too much, `judge` says so from arithmetic.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import FactorError
from expand3d.core.genotype import Genotype, Plan
from expand3d.core.quantity import LATENCY, MACS
from expand3d.cost.price import IN_MACS, Price
from expand3d.networks import get_family
from expand3d.networks.family import Factor, Family, Limits
from expand3d.search.samplers.trained import Trained

#: Step of a factor whose family names none.
FINE = Fraction(1, 100)
#: Points of a sequence that are drawn together.
BLOCK = 4096
#: A point is not worth judging where its growth, estimated axis by axis in logarithms, is so many
#: times what the budget leaves; legal networks were found up to 1.1 times.
HOPELESS = 1.3
#: Places along a dimension at which its growth is computed, for that estimate.
KNOTS = 12

#: The name of the excess of a network that a restriction refuses, which has no amount: little, as
#: of a network just over a limit.
RESTRICTED = "restrictions"
REFUSED = 0.1
#: Points of a grid that are looked at where most may be refused.
LOOKS = 4_000

Order = Literal["random", "qmc"]


@dataclass(frozen=True)
class Dimension:
    """One factor as whole numbers `low` to `high` that count steps of `unit`."""

    factor: str
    unit: Fraction
    low: int
    high: int
    log: bool

    def value(self, place: int) -> float:
        """The factor's value; a quotient of whole numbers, so that 14 tenths is 1.4 exactly."""
        return place * self.unit.numerator / self.unit.denominator

    def place(self, value: float) -> int:
        """The step nearest to a value, within the dimension."""
        return min(self.high, max(self.low, round(value / self.unit)))

    def spread(self, shares: NDArray[np.float64]) -> NDArray[np.int64]:
        """Steps for shares of the way from 0 to 1, evenly, or by ratio where `log`."""
        if self.log:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            places = np.rint(np.exp(low + shares * (high - low)))
        else:
            places = np.floor(self.low + shares * (self.high - self.low + 1))
        clipped: NDArray[np.int64] = np.clip(places, self.low, self.high).astype(np.int64)
        return clipped


@dataclass(frozen=True)
class Verdict:
    """A genotype's network and its price, and by how much it exceeds each limit.

    `excess` holds log(amount / limit) for each of `Space.names`: above 0 is too much, and a cost
    that was guessed above `slack`. `plan` is None where the family cannot resolve the genotype.
    `refusal` is why a restriction refuses the network, `point` its place in a sampler's space,
    where that is no function of the genotype.
    """

    genotype: Genotype
    plan: Plan | None
    price: int
    excess: Mapping[str, float]
    slack: float = 0.0
    refusal: str | None = None
    point: tuple[float, ...] | None = None

    @property
    def digest(self) -> str:
        """The digest of the network."""
        assert self.plan is not None
        return self.plan.digest

    @property
    def exceeded(self) -> str | None:
        """The first limit that is exceeded, as it stays where a factor grows; or None."""
        for name, amount in self.excess.items():
            if name != RESTRICTED and amount > (self.slack if name == "cost" else 0):
                return name
        return None

    @property
    def reason(self) -> str | None:
        """The first limit that is exceeded, or RESTRICTED; None for a legal network."""
        return self.exceeded or (None if self.refusal is None else RESTRICTED)

    def priced(self, price: int, budget: int) -> Verdict:
        """The verdict on the network's exact price, where that may have been a guess."""
        excess = {**self.excess, "cost": math.log(price / budget)}
        return dataclasses.replace(self, price=price, excess=excess, slack=0.0)


@dataclass(frozen=True)
class Space:
    """The networks of a family from `start` up, within `budget` and what `limits` allow.

    `price` says what the budget counts, by arithmetic. The limits beside it hold too, but for
    that of a latency, which only a measurement can judge. Where the price itself is a guess of one,
    networks of up to `slack` times the budget are legal.
    """

    family: str
    start: Genotype
    num_classes: int
    budget: int
    limits: Limits
    price: Price = IN_MACS
    slack: float = 1.0

    @property
    def _family(self) -> Family:
        return get_family(self.family)

    @cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The factors that can differ from the start's, in the family's order of axes."""
        return _dimensions(self)

    def genotype(self, places: Mapping[str, int]) -> Genotype:
        """The start with the factors at these steps."""
        values = {d.factor: d.value(int(places[d.factor])) for d in self.dimensions}
        return self.start.replace(**values)

    def places(self, genotype: Genotype) -> dict[str, int]:
        """The steps at or nearest to a genotype's factors."""
        return {d.factor: d.place(genotype[d.factor]) for d in self.dimensions}

    def distributions(self) -> dict[str, Any]:
        """Optuna's distribution of each factor's steps."""
        from optuna.distributions import IntDistribution

        return {d.factor: IntDistribution(d.low, d.high, log=d.log) for d in self.dimensions}

    def params(self, network: Trained) -> dict[str, float]:
        """The steps of a trained network's factors."""
        return dict(self.places(network.genotype))

    def judge_params(self, params: Mapping[str, float]) -> Verdict:
        """The network at these steps, with the limit that it exceeds, if any."""
        return self.judge(self.genotype({name: int(step) for name, step in params.items()}))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what a network can have too much of."""
        also = (limit.quantity.key for limit in self.price.also if limit.quantity is not LATENCY)
        restricted = (RESTRICTED,) if self.limits.restrictions else ()
        return ("cost", "crop", "duration", *also, *restricted)

    def judge(self, genotype: Genotype) -> Verdict:
        """The network's cost and the limit that it exceeds, if any; arithmetic, no torch."""
        try:
            plan = self._family.resolve(genotype, num_classes=self.num_classes)
        except FactorError:
            return Verdict(genotype, None, 0, {"factors": math.inf})
        cost = self.price.of(plan)
        excess = {
            "cost": math.log(cost / self.budget),
            "crop": math.log(plan.crop / self.limits.crop),
            "duration": math.log(plan.duration / self.limits.duration),
        }
        for limit in self.price.also:
            if limit.quantity is not LATENCY:
                amount = self.price.amount(limit.quantity, plan)
                excess[limit.quantity.key] = math.log(amount / limit.amount)
        refusal = self.limits.refusal(plan)
        if self.limits.restrictions:
            excess[RESTRICTED] = -REFUSED if refusal is None else REFUSED
        return Verdict(genotype, plan, cost, excess, math.log(self.slack), refusal)

    def legal(self, order: Order, seed: int, *, blocks: int) -> Iterator[Verdict]:
        """The legal networks of a sequence of points, which is cut after `blocks` blocks.

        "qmc" is a scrambled Sobol sequence. Only `seed` decides, never what was proposed before.
        A network may come more than once.
        """
        for block in range(blocks):
            yield from _legal(self, order, seed, block)[0]

    def refused(self, order: Order, seed: int, *, blocks: int) -> Counter[str]:
        """The number of points of a sequence that exceed a limit, by limit."""
        found: Counter[str] = Counter()
        for block in range(blocks):
            found.update(dict(_legal(self, order, seed, block)[1]))
        return found

    def refusal(self, order: Order, seed: int, *, blocks: int) -> str | None:
        """The reason why the first point of a sequence that a restriction refuses is refused."""
        points = (point for block in range(blocks) for point in _points(self, order, seed, block))
        return next((point.refusal for point in points if point.reason == RESTRICTED), None)

    def near_misses(self, count: int) -> tuple[Verdict, ...]:
        """Networks that exceed a limit: of one block of random points those that do so least."""
        return _near_misses(self, count)

    def grid(self, most: int, *, beside: frozenset[str] = frozenset()) -> tuple[Verdict, ...]:
        """The legal networks of the finest grid that has at most `most`, cheapest first.

        Levels run evenly (by ratio where `log`) over each dimension, both ends included; they are
        added to the dimensions in turn. With the networks `beside` it, by digest, there are at
        most so many too; none where nothing is left for the coarsest grid.
        """
        for found in reversed(_grids(self, most)):
            if len(found.keys() | beside) <= most:
                return tuple(found.values())
        return ()


def _levels(dimension: Dimension, count: int) -> list[int]:
    """`count` steps from low to high; a single one is low. Fewer where they coincide."""
    if count == 1:
        return [dimension.low]
    if dimension.log:
        shares = np.geomspace(dimension.low, dimension.high, count)
    else:
        shares = np.linspace(dimension.low, dimension.high, count)
    return sorted({int(step) for step in np.rint(shares)})


def _points(space: Space, order: Order, seed: int, block: int) -> Iterator[Verdict]:
    """One block of a sequence."""
    count = len(space.dimensions)
    if count == 0:
        yield space.judge(space.start)
        return
    if order == "random":
        shares = np.random.default_rng((seed, block)).random((BLOCK, count))
    else:
        from scipy.stats.qmc import Sobol

        engine = Sobol(count, scramble=True, rng=np.random.default_rng(seed))
        if block:
            engine.fast_forward(block * BLOCK)
        shares = engine.random(BLOCK)
    columns = [d.spread(shares[:, index]) for index, d in enumerate(space.dimensions)]
    names = [d.factor for d in space.dimensions]
    hopeless = np.zeros(BLOCK, dtype=bool)
    if space.price.quantity is MACS:  # of others, such as memory, little adds up axis by axis
        hopeless = _growth(space, columns) > HOPELESS * math.log(space.budget / _base_price(space))
    for row in zip(*(column[~hopeless] for column in columns), strict=True):
        yield space.judge(space.genotype(dict(zip(names, map(int, row), strict=True))))


def _growth(space: Space, columns: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """log(cost / start's cost) of each row, as if every axis multiplied the cost by itself."""
    total = np.zeros(len(columns[0]))
    for dimension, column in zip(space.dimensions, columns, strict=True):
        places = np.unique(np.linspace(dimension.low, dimension.high, KNOTS).round()).astype(int)
        values = (dimension.value(int(place)) for place in places)
        costs = [space.judge(space.start.replace(**{dimension.factor: v})).price for v in values]
        total += np.interp(column, places, np.log(np.maximum(costs, 1) / _base_price(space)))
    return total


def _base_price(space: Space) -> int:
    return space.judge(space.start).price


@lru_cache(maxsize=512)
def _legal(
    space: Space, order: Order, seed: int, block: int
) -> tuple[tuple[Verdict, ...], tuple[tuple[str, int], ...]]:
    """A block's legal networks and its refusals; remembered, since strategies are asked again."""
    points = list(_points(space, order, seed, block))
    refused = Counter(point.reason for point in points if point.reason is not None)
    refused["cost"] += (BLOCK if space.dimensions else 1) - len(points)
    return tuple(point for point in points if point.reason is None), tuple(refused.items())


@lru_cache(maxsize=8)
def _near_misses(space: Space, count: int) -> tuple[Verdict, ...]:
    missed = [v for v in _points(space, "random", 0, 0) if v.plan is not None and v.reason]
    return tuple(sorted(missed, key=lambda v: max(v.excess.values()))[:count])


@lru_cache(maxsize=8)
def _grids(space: Space, most: int) -> tuple[Mapping[str, Verdict], ...]:
    """Ever finer grids of at most `most` networks, the coarsest a single one; by digest.

    Each is cheapest first.
    """
    levels, stuck = [1] * len(space.dimensions), set[int]()
    grids = [_corners(space, levels)]
    while len(stuck) < len(levels):
        for turn, dimension in enumerate(space.dimensions):
            if turn in stuck:
                continue
            finer = [*levels[:turn], levels[turn] + 1, *levels[turn + 1 :]]
            size = dimension.high - dimension.low + 1
            fits = finer[turn] <= size
            looks = math.prod(finer) if space.limits.restrictions else 0
            fits = fits and looks <= LOOKS
            found = _corners(space, finer) if fits else {}
            if not fits or len(found) > most:
                stuck.add(turn)
            else:
                levels = finer
                grids.append(found)
    return tuple(grids)


def _corners(space: Space, levels: list[int]) -> dict[str, Verdict]:
    """The legal networks of one grid by digest.

    Dimension by dimension, the later ones at their low end: what is too much already stays so.
    """
    kept = [space.judge(space.genotype({d.factor: d.low for d in space.dimensions}))]
    for dimension, count in zip(space.dimensions, levels, strict=True):
        values = [dimension.value(place) for place in _levels(dimension, count)]
        reached = (
            space.judge(verdict.genotype.replace(**{dimension.factor: value}))
            for verdict in kept
            for value in values
        )
        kept = [verdict for verdict in reached if verdict.exceeded is None]
    found: dict[str, Verdict] = {}
    for verdict in kept:  # a finer level may be allowed where a coarser one was refused
        assert verdict.plan is not None
        if verdict.refusal is None:
            found.setdefault(verdict.plan.digest, verdict)
    return dict(sorted(found.items(), key=lambda item: (item[1].price, item[0])))


@lru_cache(maxsize=64)
def _dimensions(space: Space) -> tuple[Dimension, ...]:
    family = get_family(space.family)
    # A factor may matter only beside another: the stride does nothing to a single frame.
    anchors = [space.start]
    for axis in family.axes:
        anchors.extend(itertools.islice(family.grow(axis, space.start, space.limits), 1))
    found = (_dimension(space, family.factors[axis], anchors) for axis in family.axes)
    return tuple(d for d in found if d.high > d.low)


def _work(space: Space, verdict: Verdict) -> int:
    """Multiply-adds, whatever the price counts."""
    return space.price.amount(MACS, verdict.plan) if verdict.plan else 0


def _dimension(space: Space, factor: Factor, anchors: list[Genotype]) -> Dimension:
    """The factor's range: up to the largest value that some anchor affords.

    It starts at the start's value where the factor costs something, else where it is legal: the
    expansion too turns a stride both ways.
    """
    unit = Fraction(1) if factor.integer else FINE
    if factor.step is not None:
        unit = Fraction(factor.step).limit_denominator(100_000)
    first, last = math.ceil(factor.low / unit), math.floor(factor.high / unit)
    at = math.ceil(Fraction(space.start[factor.name]).limit_denominator(100_000) / unit)
    start = min(last, max(first, at))

    def judge(anchor: Genotype, place: int) -> Verdict:
        value = place * unit.numerator / unit.denominator
        return space.judge(anchor.replace(**{factor.name: value}))

    low, high = start, start
    for anchor in anchors:
        ends = judge(anchor, first), judge(anchor, last)
        if ends[0].plan == ends[1].plan:
            continue
        if _work(space, ends[0]) == _work(space, ends[1]):
            low = first
        too_much = bisect_left(
            range(first, last + 1),
            True,
            key=lambda place: judge(anchor, place).exceeded is not None,
        )
        high = max(high, first + too_much - 1)
    return Dimension(factor.name, unit, low, high, factor.log and low >= 1)
