"""The next move of a step whose candidates race: train to a rung, drop those surely worse, go on.

How far seeds alone move a score has to be known for that. The base, the cheapest network, is
therefore trained with SEEDS seeds up to the last rung, and the spread between them is taken for
every network. Everything is a function of the record, so that a killed race goes on as it was.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import stdev
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from expand3d.core.trial import Candidate, Trial
from expand3d.search.expansion.seeds import CLOSE, of_seeds, with_seed
from expand3d.search.racing import losers
from expand3d.search.statistics import Metric, estimate, label, per_clip, rank
from expand3d.search.strategy import Batch, Stop, answers

#: Seeds of the base that show how far a score moves between seeds.
SEEDS = 6
#: Why the further seeds of the base end.
MEASURED = "shows the spread between seeds, and is not a network of its own"


class Close(NamedTuple):
    """The networks with the most seeds, at least two or none; `seeds` is at most what they have.

    `asked` is the batch of the next seeds, None where nothing is left to do.
    """

    networks: tuple[Candidate, ...]
    seeds: int
    asked: Batch | None


@dataclass(frozen=True)
class Race:
    """The rungs of a race in clip visits, and what decides it.

    `repeats` counts the seeds that each candidate is trained with, `more_seeds` those that close
    ones get besides, at most.
    """

    rungs: tuple[int, ...]
    metric: Metric
    repeats: int = 1
    more_seeds: int = 0

    def seeds(self, base: Candidate) -> tuple[Candidate, ...]:
        """The base with the further seeds that the spread is taken from."""
        return tuple(with_seed(base, repeat) for repeat in range(self.repeats, SEEDS))

    def ask(
        self, candidates: Sequence[Candidate], base: Candidate, history: Sequence[Trial], note: str
    ) -> Batch | Stop:
        """The next batch of an open step, or those of it that are stopped.

        Without rungs all candidates are trained to their end.
        """
        if not self.rungs:
            return Batch(tuple(candidates), note)
        if base.digest in {candidate.digest for candidate in candidates}:
            return self._measure(base, history, note)
        finished, left = answers(history), list(candidates)
        for rung in self.rungs:
            running = [c for c in left if c.digest not in finished]
            if len(left) == 1 or not running:
                break
            known = answers(history, rung)
            if any(c.digest not in known for c in running):
                return Batch(tuple(left), f"{note}; race to {rung} visits", visits=rung)
            lost, leader = self._lost(left, base, known, rung, field=len(candidates))
            late = tuple(c for c in lost if c.digest not in finished)
            if late:
                why = f"surely worse than {label(leader)} after {rung} visits"
                return Stop(late, why)
            left = [c for c in left if c not in lost and _may_win(known[c.digest])]
        return Batch(tuple(left) or tuple(candidates), note)

    def _measure(self, base: Candidate, history: Sequence[Trial], note: str) -> Batch | Stop:
        """The base and its further seeds up to the last rung, and then the base to its end."""
        seeds = self.seeds(base)
        for rung in self.rungs:
            known = answers(history, rung)
            open_ones = [c for c in (base, *seeds) if c.digest not in known]
            if open_ones and base.digest not in answers(history):
                batch = (base, *seeds)
                return Batch(batch, f"{note}, {SEEDS} seeds to {rung} visits", visits=rung)
        running = {trial.candidate.digest for trial in history if trial.state == "running"}
        if late := tuple(c for c in seeds if c.digest in running):
            return Stop(late, MEASURED)
        return Batch((base,), note)

    def _lost(
        self,
        left: Sequence[Candidate],
        base: Candidate,
        known: Mapping[str, Trial],
        rung: int,
        *,
        field: int,
    ) -> tuple[list[Candidate], Candidate]:
        """Those that are surely worse than the leader at a rung, and the leader."""
        there = [(c, known[c.digest].at(rung)) for c in left]
        scored = [(c, trial) for c, trial in there if trial.means is not None]
        spread, freedom = self.spread(base, known, rung)
        if len(scored) < 2 or freedom < 1:
            return [], left[0]
        best = rank([trial for _, trial in scored], self.metric)[0].candidate.digest
        leader = next(c for c, _ in scored if c.digest == best)
        known_spread = spread, freedom
        looks = len(self.rungs)
        return self._behind(scored, known_spread, self.repeats, looks=looks, field=field), leader

    def _behind(
        self,
        scored: Sequence[tuple[Candidate, Trial]],
        spread: tuple[float, int],
        seeds: int,
        *,
        looks: int,
        field: int,
    ) -> list[Candidate]:
        """Those that are surely worse than the leader; each has so many seeds."""
        losses, groups, weights = _losses([trial for _, trial in scored], self.metric)
        between, freedom = spread
        if freedom < 1:
            return []
        found = losers(
            losses,
            groups,
            spread=between / math.sqrt(seeds),
            freedom=freedom,
            looks=looks,
            field=field,
            weights=weights,
        )
        return [scored[place][0] for place in found]

    def close(
        self, ranked: Sequence[Trial], base: Candidate, known: Mapping[str, Trial], note: str
    ) -> Close:
        """The networks at the end of a race that its seeds cannot tell apart, best first.

        Those of the CLOSE best that are not surely worse than the leader get one further seed each,
        and so on with the means until one is left or `more_seeds` are used up. `ranked` have the
        trainings of further seeds among theirs; `known` has those as trials. The spread between
        seeds is that at the last rung.
        """
        first = rank([of_seeds(trial, self.repeats) for trial in ranked], self.metric)[:CLOSE]
        left = [trial.candidate for trial in first]
        whole = {trial.candidate.digest: trial for trial in ranked}
        close: tuple[Candidate, ...] = ()
        for seeds in range(self.repeats, self.repeats + self.more_seeds):
            there = [(c, of_seeds(whole[c.digest], seeds)) for c in left]
            spread = self.spread(base, known, self.rungs[-1])
            lost = self._behind(there, spread, seeds, looks=self.more_seeds, field=len(first))
            left = [c for c in left if c not in lost]
            if len(left) < 2:
                break
            wanted = tuple(with_seed(c, seeds) for c in left)
            if any(c.digest not in known for c in wanted):
                names = ", ".join(label(c) for c in left)
                return Close(close, seeds, Batch(wanted, f"{note}; {names} are close"))
            close = tuple(left)
        return Close(close, self.repeats + self.more_seeds, None)

    def spread(self, base: Candidate, known: Mapping[str, Trial], rung: int) -> tuple[float, int]:
        """Standard deviation between seeds of the base after so many visits, and its freedom.

        The freedom is 0 where fewer than two seeds were tested there.
        """
        digests = [candidate.digest for candidate in (base, *self.seeds(base))]
        trials = [known[digest].at(rung) for digest in digests if digest in known]
        gains = [gain for trial in trials for gain in _by_seed(trial, self.metric)]
        return (stdev(gains), len(gains) - 1) if len(gains) > 1 else (0.0, 0)


def _may_win(trial: Trial) -> bool:
    return trial.state in ("running", "complete")


def _by_seed(trial: Trial, metric: Metric) -> Iterator[float]:
    """The metric of each seed of a trial, over the clips of all its folds; more is better."""
    for repeat in sorted({key.repeat for key in trial.trainings}):
        its = {key: run for key, run in trial.trainings.items() if key.repeat == repeat}
        alone = replace(trial, trainings=its)
        if alone.means is not None:
            yield estimate(alone).gain(metric)


def _losses(
    trials: Sequence[Trial], metric: Metric
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Losses (trials x clips) on shared clips, the group of each clip, and how much it counts."""
    gains = [per_clip(trial, metric) for trial in trials]
    keys = sorted(set.intersection(*(set(found) for found in gains)))
    scores = {key: found[0] for key, found in trials[0].scores().items()}
    # A clip without a group stands for itself.
    units = {(scores[key].group or "", scores[key].group or key) for key in keys}
    places = {unit: place for place, unit in enumerate(sorted(units))}
    groups = [places[scores[key].group or "", scores[key].group or key] for key in keys]
    of_class = Counter(scores[key].label for key in keys)
    weights = [1 / of_class[scores[key].label] if metric == "mean_class" else 1.0 for key in keys]
    losses = np.array([[-found[key] for key in keys] for found in gains])
    return losses, np.array(groups), np.array(weights)
