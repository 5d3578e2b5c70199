"""The standing of strategies on a table: what each had found by when, and how well rungs rank.

Judged by the table's means on the test clips after whole trainings, never by the score that the
strategy saw: who picks the best of many noisy scores sees one that flatters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from expand3d.core.scores import Z95
from expand3d.core.trial import Candidate
from expand3d.networks import get_family
from expand3d.report.frontier import Point, frontier, hypervolume
from expand3d.search.tabular.columns import OF_UNTRAINED
from expand3d.search.tabular.contest import Course, Seen
from expand3d.search.tabular.table import Table

#: Places of a curve, and the part of all multiply-adds at which it begins.
PLACES, FIRST = 33, 0.01
#: Networks are compared with others whose cost differs by less than this factor.
BIN = 1.5
#: Fewer networks than this rank nothing.
LEAST = 4


class Interval(NamedTuple):
    """A mean over repetitions with its 95% interval, by the normal approximation."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Standing:
    """An entrant over all repetitions: a value per place of `spent` multiply-adds.

    `hypervolume` is in accuracy x decades of cost; `best` is the test accuracy of the network that
    it would hand over under each budget. `trained` is the mean number of trainings, `short` the
    repetitions that ended at a network which the table lacks.
    """

    name: str
    spent: tuple[float, ...]
    hypervolume: tuple[Interval, ...]
    best: Mapping[int, tuple[Interval, ...]]
    trained: float
    short: int


def places(limit: float) -> tuple[float, ...]:
    """Multiply-adds at which curves are looked at, by equal ratios."""
    return tuple(np.geomspace(FIRST * limit, limit, PLACES).tolist())


def standing(
    courses: Sequence[Course], table: Table, *, limit: float, budgets: Sequence[int]
) -> Standing:
    """The standing of one entrant from its repetitions."""
    spent = places(limit)
    reference = Point(_chance(table), 2 * table.expansion.budget)
    areas = [[_area(_until(c, at), table, reference) for at in spent] for c in courses]
    best = {
        budget: [[_best(_until(c, at), table, budget) for at in spent] for c in courses]
        for budget in budgets
    }
    return Standing(
        courses[0].entrant.name,
        spent,
        _intervals(areas),
        {budget: _intervals(found) for budget, found in best.items()},
        float(np.mean([len(course.seen) for course in courses])),
        sum(course.missing is not None for course in courses),
    )


def _until(course: Course, spent: float) -> list[Seen]:
    return [seen for seen in course.seen if seen.spent <= spent]


def _area(seen: Sequence[Seen], table: Table, reference: Point) -> float:
    """The area of the frontier that was seen, at its networks' places on the test clips."""
    shown = [Point(-each.nll, each.candidate.macs) for each in seen]
    kept = [seen[place].candidate for place in frontier(shown)]
    points = [Point(table.rows[c.digest].truth(table.whole)[0], c.macs) for c in kept]
    return hypervolume(points, reference)


def _best(seen: Sequence[Seen], table: Table, budget: int) -> float:
    """The test accuracy of the network of at most `budget` that looked best; chance without."""
    inside = [each for each in seen if each.candidate.macs <= budget]
    if not inside:
        return _chance(table)
    best = min(inside, key=lambda each: (each.nll, each.candidate.macs))
    return table.rows[best.candidate.digest].truth(table.whole)[0]


def _chance(table: Table) -> float:
    return float(np.bincount(table.labels).max() / len(table.labels))


def _intervals(values: Sequence[Sequence[float]]) -> tuple[Interval, ...]:
    """A mean with its interval per place, over repetitions."""
    found = np.array(values)
    means = found.mean(axis=0)
    if len(found) < 2:
        return tuple(Interval(float(mean), math.nan, math.nan) for mean in means)
    half = Z95 * found.std(axis=0, ddof=1) / math.sqrt(len(found))
    return tuple(
        Interval(float(mean), float(mean - wide), float(mean + wide))
        for mean, wide in zip(means, half, strict=True)
    )


class Agreement(NamedTuple):
    """Kendall's tau-b of a cheaper score with the log-loss of whole trainings, within cost bins.

    A mean over bins, weighted by their pairs; `networks` take part. NaN where too few do.
    """

    score: str
    tau: float
    networks: int


def agreements(table: Table) -> tuple[Agreement, ...]:
    """The agreement of cheaper scores among networks of about equal cost.

    These are each rung, multiply-adds, parameters, and scores without training where the table has
    them for every network.

    The whole trainings are judged on the test clips, the rungs by one seed on the validation clips.
    """
    rows = list(table.rows.values())
    truth = np.array([row.truth(table.whole)[1] for row in rows])
    scores: dict[str, list[float]] = {}
    for visits in table.visits:
        seen = [float(row.cells[row.seeds(visits)[0], visits].val_nll.mean()) for row in rows]
        scores[f"{visits} visits"] = seen
    scores["multiply-adds"] = [-float(row.candidate.macs) for row in rows]
    scores["parameters"] = [-float(_params(row.candidate)) for row in rows]
    if all(row.candidate.digest in table.untrained for row in rows):
        for name in (name for name in OF_UNTRAINED if name != "network"):
            scores[name] = [-table.untrained[row.candidate.digest][name] for row in rows]
    bins = _bins([row.candidate.macs for row in rows])
    return tuple(_agreement(name, np.array(found), truth, bins) for name, found in scores.items())


def _params(candidate: Candidate) -> int:
    return get_family(candidate.plan.family).cost(candidate.plan).params


def _bins(macs: Sequence[int]) -> list[list[int]]:
    """Places of networks whose costs lie within a factor of BIN, from the cheapest up."""
    bins: list[list[int]] = []
    for place in sorted(range(len(macs)), key=lambda i: macs[i]):
        if not bins or macs[place] > BIN * macs[bins[-1][0]]:
            bins.append([])
        bins[-1].append(place)
    return bins


def _agreement(
    name: str, scores: np.ndarray, truth: np.ndarray, bins: Sequence[Sequence[int]]
) -> Agreement:
    from scipy.stats import kendalltau

    taus, weights, networks = [], [], 0
    for places in bins:
        if len(places) >= LEAST:
            tau = float(kendalltau(scores[list(places)], truth[list(places)]).statistic)
            if math.isfinite(tau):
                taus.append(tau)
                weights.append(len(places) * (len(places) - 1) / 2)
                networks += len(places)
    mean = float(np.average(taus, weights=weights)) if taus else math.nan
    return Agreement(name, mean, networks)
