"""Samplers that choose among the networks of a table.

A sampler's proposal is a point; the network that it trains is the row nearest to that point which
is not trained yet, and it is told of that row's own place and score. So it never gets an answer
that belongs to another network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from expand3d.core.genotype import Genotype, digest
from expand3d.core.trial import Candidate, Trial
from expand3d.networks import get_family
from expand3d.search.samplers.optuna import Model
from expand3d.search.samplers.space import Dimension, Space
from expand3d.search.samplers.trained import Trained
from expand3d.search.statistics import estimate
from expand3d.search.strategy import Ask, Batch, Done

if TYPE_CHECKING:
    from expand3d.search.tabular.table import Table

#: Samplers that ask a model, and those that need none. A table is no grid.
MODELS = ("tpe", "nsga2", "nsga3", "gp")
SAMPLERS = (*MODELS, "qmc", "random")
#: Networks that are drawn at random before a model is asked.
STARTUP = 6
#: Networks of a generation that is bred, and of one where a quarter of them reach the end.
POPULATION, RACED_POPULATION = 8, 4


@dataclass(frozen=True, eq=False)
class RowSampling:
    """A sampler over the rows of a table, the base first; `batch` networks are proposed at once.

    Where the networks of a batch race, a model is told of those that were trained to their end.
    """

    table: Table
    sampler: str
    seed: int
    batch: int = 1
    races: bool = False

    def ask(self, history: Sequence[Trial]) -> Ask:
        """The next networks, or Done where all rows are trained."""
        known = {trial.candidate.digest for trial in history}
        left = [c for c in self._rows if c.digest not in known]
        if not left:
            return Done("every network of the table is trained")
        if self._base.digest not in known:
            return Batch((self._base,), "the base")
        found: list[Candidate] = []
        for point in self._points(history):
            distances = [float(np.square(self._places[c.digest] - point).sum()) for c in left]
            found.append(left.pop(int(np.argmin(distances))))
            if len(found) == self.batch or not left:
                break
        return Batch(tuple(found), self.sampler)

    def _points(self, history: Sequence[Trial]) -> Iterator[NDArray[np.float64]]:
        """Points that the sampler proposes, without end; each place from 0 to 1."""
        number = len(history)
        if self.sampler == "qmc":
            while True:
                yield _sobol(len(self._space.dimensions), self.seed)[number]
                number += 1
        if self.sampler in MODELS and number > STARTUP:
            model = self._model(history)
            while True:
                trial, _ = model.suggest()
                yield self._place(self._space.genotype(trial.params))
        rng = np.random.default_rng([self.seed, number])
        while True:  # of the rows, so that where the table is dense more are drawn
            yield self._places[self._rows[int(rng.integers(len(self._rows)))].digest]

    def _model(self, history: Sequence[Trial]) -> Model:
        networks = [
            Trained(t.candidate.genotype, t.candidate.cost, estimate(t).gain("nll"))
            for t in history
            if t.state == "complete"
        ]
        seed = int(digest(self.seed, len(history))[:8], 16)
        bred = RACED_POPULATION if self.races else POPULATION
        return Model(self.sampler, self._space, networks, seed=seed, population=bred)

    @cached_property
    def _rows(self) -> list[Candidate]:
        return [row.candidate for row in self.table.rows.values()]

    @cached_property
    def _base(self) -> Candidate:
        return self.table.expansion.base()

    @property
    def _space(self) -> Space:
        of = self.table.expansion
        start = of.start or get_family(of.family).base
        return Space(of.family, start, of.num_classes, of.budget, of.limits)

    @cached_property
    def _places(self) -> dict[str, NDArray[np.float64]]:
        return {c.digest: self._place(c.genotype) for c in self._rows}

    def _place(self, genotype: Genotype) -> NDArray[np.float64]:
        places = self._space.places(genotype)
        return np.array([_share(d, places[d.factor]) for d in self._space.dimensions])


def _share(dimension: Dimension, place: int) -> float:
    """The share of the way along a dimension, from 0 to 1, by ratio where it counts by ratio."""
    low, high, at = dimension.low, dimension.high, place
    if dimension.log:
        return math.log(at / low) / math.log(high / low)
    return (at - low) / (high - low)


@lru_cache(maxsize=64)
def _sobol(dimensions: int, seed: int) -> NDArray[np.float64]:
    from scipy.stats import qmc

    points: NDArray[np.float64] = qmc.Sobol(dimensions, rng=seed).random(1024)
    return points
