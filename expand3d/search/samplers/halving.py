"""A race among the networks of one generation: at each rung the better half goes on.

Networks of unlike costs race, so that no single score decides: they are ranked by fronts of cost
and score (`search/fronts.py`, after MO-ASHA). All are tested before any goes on, where MO-ASHA does
not wait: whoever was first would decide then, and the record could not be had again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from expand3d.core.recipe import Multigrid
from expand3d.core.trial import Candidate, Trial
from expand3d.networks.multigrid import mean_macs
from expand3d.search.fronts import by_fronts
from expand3d.search.statistics import NAMES, Metric, estimate
from expand3d.search.strategy import Batch, Stop

#: One network in so many goes on at a rung. The rungs themselves double, so that a rung takes as
#: many visits of a generation as the one before.
ETA = 2


@dataclass(frozen=True)
class Halving:
    """The rungs of a race in clip visits, of a training that has `visits`, and what decides it.

    Without rungs everybody is trained to the end. `by_shape` are visits in each shape of the
    recipe's `multigrid`.
    """

    rungs: tuple[int, ...]
    metric: Metric
    visits: int
    multigrid: Multigrid = "off"
    by_shape: tuple[int, ...] = (1,)

    def macs(self, candidate: Candidate) -> int:
        """Multiply-adds of a clip of a training, the mean of its shapes."""
        return mean_macs(candidate.plan, self.multigrid, self.by_shape)

    def ask(
        self, field: Sequence[Candidate], mine: Sequence[Trial], known: Collection[str], note: str
    ) -> Batch | Stop:
        """The next batch of a generation, or those of it that are stopped.

        `mine` are the trials of its sampler, `known` the digests of networks that are finished; one
        network of the generation is not. One that failed takes no place among those that go on.
        """
        left: Sequence[Candidate] = field
        places = len(field)
        for rung in self.rungs:
            if len(left) < 2:
                break
            tested = _tested(mine, rung)
            if any(c.digest not in tested and c.digest not in known for c in left):
                return Batch(tuple(left), f"{note}; race to {rung} visits", visits=rung)
            ranked = self._ranked([c for c in left if c.digest in tested], tested)
            places = math.ceil(places / ETA)
            left, behind = ranked[:places], ranked[places:]
            if late := tuple(c for c in behind if c.digest not in known):
                why = f"cost and {NAMES[self.metric]} after {rung} visits"
                return Stop(late, f"not among the best {places} of {len(ranked)} by {why}")
        return Batch(tuple(left), note)

    def _ranked(
        self, candidates: Sequence[Candidate], tested: dict[str, Trial]
    ) -> Sequence[Candidate]:
        ordered = sorted(candidates, key=lambda c: c.digest)
        gains = [estimate(tested[c.digest]).gain(self.metric) for c in ordered]
        places = by_fronts([c.cost for c in ordered], gains)
        return [ordered[place] for place in places]

    def to_the_end(self, networks: int, batch: int) -> int:
        """The networks that are trained to their end, of so many in all: the first, and batches."""
        batches, rest = divmod(networks - 1, batch)
        return 1 + batches * self._whole(batch) + self._whole(rest)

    def _whole(self, count: int) -> int:
        """The networks of a generation of `count` that are trained to their end."""
        for _ in self.rungs:
            count = math.ceil(count / ETA)
        return count

    def taken(self, count: int) -> int:
        """The clip visits of all networks of a generation of `count` together."""
        total, before = 0, 0
        for rung in (*self.rungs, self.visits):
            total += count * (rung - before)
            count, before = math.ceil(count / ETA), rung
        return total

    def used(self, trials: Iterable[Trial]) -> int:
        """Clip visits of a training times multiply-adds of a clip, over the trials.

        Each counts `visits`, and one that lost a race as many as it had: on average over folds and
        repeats.
        """
        total = 0
        for trial in trials:
            visits = self.visits
            if self.rungs and trial.state == "stopped":
                runs = trial.furthest.values()
                visits = sum(run.clip_visits for run in runs) // max(1, len(runs))
            total += self.macs(trial.candidate) * visits
        return total


def _tested(trials: Sequence[Trial], rung: int) -> dict[str, Trial]:
    """The trials that were tested at a rung, with its scores alone, by digest; the first of each.

    One that failed and was trained once more has two.
    """
    found: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.reached >= rung:
            found.setdefault(trial.candidate.digest, trial.at(rung))
    return found
