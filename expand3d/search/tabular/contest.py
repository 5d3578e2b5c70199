"""Strategies run against a table: what each trained, in its order, what it saw and what it paid.

A repetition stands for another study of the same kind: it draws one seed per network and draws the
groups of validation clips again. Where a network has one seed, the spread that others have between
theirs is added. Only the networks of the table are there; nothing is guessed of others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import ConfigError, nearest
from expand3d.core.result import Training, TrainingKey
from expand3d.core.scores import PackedScores
from expand3d.core.trial import Candidate, Trial
from expand3d.search.expansion.seeds import CLOSE
from expand3d.search.fronts import by_fronts
from expand3d.search.racing import losers
from expand3d.search.samplers.halving import ETA
from expand3d.search.strategy import Ask, Batch
from expand3d.search.tabular.rows import SAMPLERS, RowSampling
from expand3d.search.tabular.table import Cell, Table
from expand3d.study.strategy_keys import GENERATION

#: The strategy that expands, and the one that races the candidates of each of its steps.
EXPAND, RACE = "expand", "race"
#: The end of the name of a sampler whose batches race.
RACING = "-race"
#: The race whose close networks get further seeds, and how many of them at most.
SEEDED, MORE_SEEDS = "race-seeds", 2


class Asks(Protocol):
    """A strategy as far as a contest needs one."""

    def ask(self, history: Sequence[Trial]) -> Ask: ...


@dataclass(frozen=True)
class Entrant:
    """A strategy with its name: `expand`, or `tpe@250`, which trains all to 250 visits alone.

    `race` begins at the first rung; `race@250` at that one. So do `tpe-race` and `tpe-race@250`,
    samplers whose batches of GENERATION networks race. `race-seeds` is a `race` at whose end close
    networks get up to MORE_SEEDS further seeds, as far as the table has them.
    """

    name: str
    strategy: str
    visits: int

    @classmethod
    def named(cls, text: str, table: Table) -> Entrant:
        """The entrant whose name this is; ConfigError where the table has none such."""
        strategy, at, visits = text.partition("@")
        known = (EXPAND, RACE, SEEDED, *SAMPLERS, *(f"{name}{RACING}" for name in SAMPLERS))
        if strategy not in known:
            raise ConfigError(f"strategies = {text!r}: no such strategy{nearest(strategy, known)}")
        if at and visits not in map(str, table.visits):
            there = ", ".join(map(str, table.visits))
            raise ConfigError(f"strategies = {text!r}: the table has tests after {there} visits")
        races = strategy in (RACE, SEEDED) or strategy.endswith(RACING)
        alone = table.visits[0] if races else table.whole
        return cls(text, strategy, int(visits) if at else alone)

    @property
    def sampler(self) -> str:
        """The sampler that it is, racing or not; the name of the strategy where it expands."""
        return self.strategy.removesuffix(RACING)

    @property
    def races(self) -> bool:
        """True where networks are stopped at rungs."""
        return self.strategy in (RACE, SEEDED) or self.strategy.endswith(RACING)

    def made(self, table: Table, seed: int, batch: int) -> Asks:
        if self.strategy in (EXPAND, RACE, SEEDED):
            return replace(table.expansion, seed=seed)
        size = GENERATION if self.races else batch
        return RowSampling(table, self.sampler, seed, size, self.races)


@dataclass(frozen=True)
class Seen:
    """A training of a course: `spent` are the multiply-adds of all so far, scoring included."""

    candidate: Candidate
    nll: float
    top1: float
    spent: int


@dataclass(frozen=True)
class Course:
    """One repetition of an entrant: its trainings in order.

    `missing` is a network that it asked for and the table lacks, where it ended for that.
    """

    entrant: Entrant
    seed: int
    seen: tuple[Seen, ...]
    missing: Candidate | None = None


class Repetition:
    """The scores that a study with this seed sees of each network, on clips drawn again."""

    def __init__(self, table: Table, seed: int) -> None:
        self.table, rng = table, np.random.default_rng([seed, 19])
        groups = int(table.groups.max()) + 1
        counts = np.bincount(rng.integers(groups, size=groups), minlength=groups)
        self.counts = counts[table.groups].astype(float)
        self._weights = self.counts / self.counts.sum()
        self._lots = {
            name: (float(rng.random()), float(rng.standard_normal())) for name in table.rows
        }

    def seen(self, candidate: Candidate, visits: int, seeds: int = 1) -> tuple[float, float]:
        """Log-loss and top-1 of a network of the table after so many visits, over its seeds."""
        cells, more = self._drawn(candidate, visits, seeds)
        nll = max(0.0, fmean(float(cell.val_nll @ self._weights) for cell in cells) + more)
        return nll, fmean(float(cell.val_right @ self._weights) for cell in cells)

    def losses(self, candidate: Candidate, visits: int, seeds: int = 1) -> NDArray[np.float64]:
        """Log-loss of each validation clip, to be counted as `counts` says."""
        cells, more = self._drawn(candidate, visits, seeds)
        means: NDArray[np.float64] = np.mean([c.val_nll.astype(float) for c in cells], axis=0)
        return means + more

    def _drawn(self, candidate: Candidate, visits: int, count: int) -> tuple[list[Cell], float]:
        """The tests of the seed that was drawn and those after it, and what a lack of others adds.

        There are no more than the table has.
        """
        row = self.table.rows[candidate.digest]
        lot, normal = self._lots[candidate.digest]
        seeds = row.seeds(visits)
        more = normal * self.table.spread[visits] if len(seeds) == 1 else 0.0
        first = int(lot * len(seeds))
        drawn = ((first + number) % len(seeds) for number in range(min(count, len(seeds))))
        return [row.cells[seeds[place], visits] for place in drawn], more

    @cached_property
    def clips(self) -> int:
        return len(self.table.groups)

    def trial(self, number: int, candidate: Candidate, visits: int, seeds: int = 1) -> Trial:
        """The finished trial of a network as its study would have it."""
        nll, top1 = self.seen(candidate, visits, seeds)
        means = {"top1": top1, "top5": top1, "nll": nll}
        classes = [[0, self.clips, top1 * self.clips]]
        scores = PackedScores({"clips": self.clips, "means": means, "classes": classes})
        training = Training("ok", None, scores, visits, 0, 0.0, 0)
        cost = {"macs": candidate.macs}
        return Trial(number, "complete", candidate, cost, {TrainingKey(): training})


def run(entrant: Entrant, table: Table, seed: int, *, limit: float, batch: int = 1) -> Course:
    """The course of an entrant, until it is done or has spent `limit` multiply-adds."""
    repetition = Repetition(table, seed)
    strategy = entrant.made(table, seed, batch)
    history: list[Trial] = []
    seen: list[Seen] = []
    spent, missing = 0, None
    while missing is None and spent < limit and isinstance(ask := strategy.ask(history), Batch):
        new = list(_new(ask, history))
        missing = next((c for c in new if c.digest not in table.rows), None)
        there = [c for c in new if c.digest in table.rows]
        seeds: Counter[str] = Counter()
        if entrant.races and missing is None:
            left, spent = _raced(there, repetition, entrant, spent)
            stopped = [c for c in there if c not in left]
            history += [Trial(0, "stopped", c, {}, reason="lost the race") for c in stopped]
            if entrant.strategy == SEEDED:
                further = list(_seeds_of_close(left, repetition))
                spent += sum(table.cost(c, table.whole) for c in further)
                seeds.update(c.digest for c in further)
            paid = [(c, table.whole, 0) for c in left]
        else:
            paid = [(c, entrant.visits, table.cost(c, entrant.visits)) for c in there]
        for candidate, visits, cost in paid:
            trial = repetition.trial(len(history), candidate, visits, 1 + seeds[candidate.digest])
            history.append(trial)
            assert trial.means is not None
            spent += cost
            seen.append(Seen(candidate, trial.means.nll, trial.means.top1, spent))
    return Course(entrant, seed, tuple(seen), missing)


def _raced(
    candidates: Sequence[Candidate], repetition: Repetition, entrant: Entrant, spent: int
) -> tuple[list[Candidate], int]:
    """The candidates that a race leaves at the end of their training, and all that is spent then.

    A single one that is left has no rival, and is trained to its end at once.
    """
    table, left, before = repetition.table, list(candidates), 0
    rungs = [visits for visits in table.visits if visits >= entrant.visits]
    for rung in rungs:
        if len(left) == 1 and rung != table.whole:
            continue
        spent += sum(table.further(c, before, rung) for c in left)
        before = rung
        if rung == table.whole:
            break
        if entrant.strategy in (RACE, SEEDED):
            lost = losers(
                np.array([repetition.losses(c, rung) for c in left]),
                table.groups,
                spread=table.spread[rung],
                looks=len(rungs) - 1,
                field=len(candidates),
                weights=repetition.counts,
            )
            left = [c for place, c in enumerate(left) if place not in lost]
        else:
            gains = [-repetition.seen(c, rung)[0] for c in left]
            ranked = by_fronts([c.cost for c in left], gains)
            left = [left[place] for place in ranked[: math.ceil(len(left) / ETA)]]
    return left, spent


def _seeds_of_close(candidates: Sequence[Candidate], repetition: Repetition) -> Iterator[Candidate]:
    """Those that are close at the end of a race, once for each further seed that they get."""
    table = repetition.table
    close = sorted(candidates, key=lambda c: repetition.seen(c, table.whole))[:CLOSE]
    field = len(close)
    for seeds in range(1, 1 + MORE_SEEDS):
        lost = losers(
            np.array([repetition.losses(c, table.whole, seeds) for c in close]),
            table.groups,
            spread=table.spread[table.whole] / math.sqrt(seeds),
            looks=MORE_SEEDS,
            field=field,
            weights=repetition.counts,
        )
        close = [c for place, c in enumerate(close) if place not in lost]
        close = [c for c in close if len(table.rows[c.digest].seeds(table.whole)) > seeds]
        if len(close) < 2:
            break
        yield from close


def _new(batch: Batch, history: Sequence[Trial]) -> Iterator[Candidate]:
    known = {trial.candidate.digest for trial in history}
    return (candidate for candidate in batch.candidates if candidate.digest not in known)
