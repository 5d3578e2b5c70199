"""Strategies that propose whole networks: Optuna's samplers, random and Sobol points, a grid.

Each is a function of the record: a batch depends on the seed and on what was trained in the batches
before it, never on the order in which trials finished. Networks over the budget or beyond the data
are refused from arithmetic and are not recorded: the record and the seed give them again. Where
latency is limited, what arithmetic and a guess allow is measured, once, before it is trained.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass

from expand3d.core.genotype import digest
from expand3d.core.trial import BASELINE, Candidate, Trial
from expand3d.cost.price import Unmeasured
from expand3d.search.expansion.steps import Offer, StepSummary
from expand3d.search.samplers import startup
from expand3d.search.samplers.none_left import none_left
from expand3d.search.samplers.optuna import Model
from expand3d.search.samplers.settings import Settings
from expand3d.search.samplers.space import Order, Verdict
from expand3d.search.samplers.trained import Trained
from expand3d.search.statistics import estimate, rank
from expand3d.search.strategy import (
    Ask,
    Batch,
    Done,
    Measure,
    Stop,
    answers,
)

#: How often a sampler is asked for one network before a random one takes its place. A Gaussian
#: process is fitted anew each time.
ATTEMPTS = {"tpe": 100, "nsga2": 200, "nsga3": 200, "gp": 5}
#: Blocks of 4,096 points that are searched for a network that is legal and new.
BLOCKS = 16
#: Networks in a row, of those that no model suggests, that may turn out to be too slow.
TOO_SLOW = 50


@dataclass(frozen=True)
class Sampling(Settings):
    """The strategy: `trials` networks in all from `sampler`, the start of the family first.

    A batch knows the results of those before. A grid needs none.
    """

    def ask(self, history: Sequence[Trial]) -> Ask:
        """The batch that `history` leaves open, or Done with the reason."""
        try:
            return self._ask(history)
        except Unmeasured as missing:
            return Measure(missing.plan)

    def _ask(self, history: Sequence[Trial]) -> Ask:
        known = answers(history)
        base = self.base()
        if base.digest not in known:
            return Batch((base,), f"the base, {self.price.quantity.text(base.cost)}")
        mine = [trial for trial in history if trial.candidate.role == self.sampler]
        own = {trial.candidate.digest: trial.candidate for trial in mine}
        finished = sorted(answers(mine).values(), key=lambda t: (_step(t), t.candidate.digest))
        trained = [known[base.digest], *finished]
        last = max((candidate.step or 0 for candidate in own.values()), default=0)
        if last and (unfinished := self._unfinished(last, own, known, trained)):
            return self._raced(unfinished, own, mine, known)
        if len(trained) >= self.trials:
            ended = "trained or stopped" if self.rungs else "trained"
            everything = f"all {self.trials} networks of {self.sampler} are {ended}"
            return Done(f"{everything}; only a larger --trials adds some")
        if self.spent(self.race.used(trained)):
            reached = f"{len(trained)} networks of {self.sampler}"
            return Done(f"{reached} have reached the training limit")
        proposed = self._propose(last + 1, trained, set(known), own.keys())
        if isinstance(proposed, Done):
            return proposed
        return self._raced(proposed, own, mine, known)

    def _raced(
        self,
        batch: Batch,
        own: Mapping[str, Candidate],
        mine: Sequence[Trial],
        known: Mapping[str, Trial],
    ) -> Batch | Stop:
        """The batch, or what is next of it where its networks race: a rung, or who is stopped."""
        if not self.rungs:
            return batch
        step = batch.candidates[0].step
        begun = (own[digest] for digest in sorted(own) if own[digest].step == step)
        field = {c.digest: c for c in (*batch.candidates, *begun)}
        return self.race.ask(tuple(field.values()), mine, known, batch.note)

    def _unfinished(
        self,
        step: int,
        own: Mapping[str, Candidate],
        known: Mapping[str, Trial],
        trained: Sequence[Trial],
    ) -> Batch | None:
        """Batch number `step`, the last one begun; None where all of it is finished.

        What it was is proposed again. Where a baseline has answered one of its networks meanwhile,
        a model suggests others: only as many of those are taken as the batch still lacks.
        """
        batch = {digest: c for digest, c in own.items() if c.step == step}
        before = [trial for trial in trained if trial.candidate.digest not in batch]
        lacking = min(self.batch, self.trials - len(before)) - len(batch)
        begun = {digest: c for digest, c in batch.items() if digest not in known}
        if lacking <= 0 and not begun:
            return None
        if lacking <= 0 and self.rungs:  # which is asked often in a batch
            return Batch(tuple(batch[one] for one in sorted(batch)), self._note(before, batch))
        asked = self._propose(step, before, set(known.keys() - batch.keys()), own.keys())
        wanted: list[Candidate] = []
        for candidate in asked.candidates if isinstance(asked, Batch) else ():
            if candidate.digest in batch:
                begun.pop(candidate.digest, None)
            elif lacking > 0:
                lacking -= 1
            else:
                continue
            wanted.append(candidate)
        wanted += [begun[digest] for digest in sorted(begun)]
        if all(candidate.digest in known for candidate in wanted):
            return None  # there were fewer networks than it wanted
        note = asked.note if isinstance(asked, Batch) else f"{self.sampler}: what was begun"
        return Batch(tuple(wanted), note)

    def steps(self, history: Sequence[Trial]) -> tuple[StepSummary, ...]:
        """No steps: a sampler compares all networks at the end."""
        return ()

    def result(self, history: Sequence[Trial]) -> Trial | None:
        """The best network within the budget; of equal estimates the cheaper.

        A baseline counts only where it is the base.
        """
        base = self.base().digest
        inside = [
            trial
            for trial in history
            if trial.state == "complete"
            and self.inside(trial.candidate)
            and (trial.candidate.role != BASELINE or trial.candidate.digest == base)
        ]
        return rank(inside, self.metric)[0] if inside else None

    def futures(self, history: Sequence[Trial] = ()) -> tuple[tuple[Offer, ...], ...]:
        """A run as it may go: the base, then as many networks as will be proposed, costliest first.

        Those that `history` has are among them. Random networks stand in for a model's, so that
        there is one future only.
        """
        base = self.base()
        self = self.guessed()
        known = answers(history)
        mine = [trial for trial in known.values() if trial.candidate.role == self.sampler]
        found = {trial.candidate.digest: trial.candidate for trial in mine}
        used = self.race.macs(base) * self.visits + self.race.used(mine)
        sequence = (verdict for verdict in self._sequence(found) if self._fits(verdict))
        while (
            len(found) < self.trials - 1
            and not self.spent(used)
            and (verdict := next(sequence, None)) is not None
        ):
            candidate = self._candidate(verdict, 1)
            if candidate.digest not in {base.digest, *known, *found}:
                found[candidate.digest] = candidate
                used += self.race.macs(candidate) * self.race.taken(self.batch) // self.batch
        quantity = self.price.quantity
        offers = [Offer(0, base.cost, (base,), quantity=quantity)]
        if found:
            costs = sorted(found.values(), key=lambda c: (-c.cost, c.digest))
            middle = sum(c.cost for c in costs) // len(costs)
            offers.append(Offer(1, middle, tuple(costs), quantity=quantity))
        return (tuple(offers),)

    def _exact(self, verdict: Verdict) -> Verdict:
        """The verdict by what was measured, where the space could only guess what is legal."""
        if not self.price.measured or verdict.plan is None or verdict.reason is not None:
            return verdict
        return verdict.priced(self.price.of(verdict.plan), self.budget)

    def _fits(self, verdict: Verdict) -> bool:
        """True where a network that arithmetic allows is within a limit of measured latency too."""
        assert verdict.plan is not None
        return self._exact(verdict).reason is None and self.price.over(verdict.plan) is None

    def _candidate(self, verdict: Verdict, step: int) -> Candidate:
        assert verdict.plan is not None and verdict.reason is None
        return Candidate(
            genotype=verdict.genotype,
            plan=verdict.plan,
            step=step,
            axis=None,
            role=self.sampler,
            point=verdict.point,
            **self.price.fields(verdict.plan),
        )

    def _propose(
        self, step: int, trained: Sequence[Trial], taken: set[str], own: Collection[str]
    ) -> Batch | Done:
        """Batch number `step` after those that trained `trained`; Done where nothing is new.

        `taken` are the digests of networks that need no training, `own` of those that the sampler
        has begun.
        """
        size = min(self.batch, self.trials - len(trained))
        found: list[Candidate] = []
        for verdict in self._verdicts(step, trained, taken, own):
            candidate = self._candidate(verdict, step)
            found.append(candidate)
            taken.add(candidate.digest)
            if len(found) == size:
                break
        if not found:
            return Done(self._blocked(own))
        return Batch(tuple(found), self._note(trained, found))

    def _note(self, before: Sized, batch: Sized) -> str:
        first, last = len(before) + 1, len(before) + len(batch)
        numbers = f"{first}" if first == last else f"{first} to {last}"
        return f"{self.sampler}: network {numbers} of {self.trials}"

    def _verdicts(
        self, step: int, trained: Sequence[Trial], taken: Collection[str], own: Collection[str]
    ) -> Iterator[Verdict]:
        """Legal networks that are not `taken`, which grows meanwhile."""
        scored = [trial for trial in trained if trial.state == "complete"]
        if self.sampler in ATTEMPTS and self._started(trained, len(scored)):
            yield from self._modelled(step, scored, taken)
        slow = 0
        for verdict in self._sequence(own):
            if verdict.digest in taken:
                slow = 0
                continue
            if self._fits(verdict):
                slow = 0
                yield verdict
            elif (slow := slow + 1) >= TOO_SLOW:
                return

    def _modelled(
        self, step: int, scored: Sequence[Trial], taken: Collection[str]
    ) -> Iterator[Verdict]:
        """The sampler's suggestions, until too many in a row are of no use."""
        gains = [estimate(trial).gain(self.metric) for trial in scored]
        networks = [
            Trained(trial.candidate.genotype, trial.candidate.cost, gain, trial.candidate.point)
            for trial, gain in zip(scored, gains, strict=True)
        ]
        seed = int(digest(self.seed, step)[:8], 16)
        model = Model(self.sampler, self.space, networks, seed=seed, population=self.population)
        left = ATTEMPTS[self.sampler]
        while left > 0:
            asked, guessed = model.suggest()
            verdict = self._exact(guessed)
            new = verdict.reason is None and verdict.digest not in taken
            if new and self._fits(verdict):
                left = ATTEMPTS[self.sampler]
                yield verdict
            else:
                left -= 1
                model.refuse(asked, verdict)

    def _sequence(self, own: Collection[str]) -> Iterator[Verdict]:
        """Legal networks that no result changes: the grid, Sobol points, or random ones."""
        if self.sampler == "grid":
            return iter(self._grid(own))
        return self.space.legal(self._order, self.seed, blocks=BLOCKS)

    def _grid(self, own: Collection[str]) -> tuple[Verdict, ...]:
        """The finest grid that `trials` allow for, beside the base and what is begun or trained.

        So a grid that is extended, to more trials or a larger budget, is trained up to its
        costliest network, although those of the grid before count. Training it changes nothing.
        """
        return self.space.grid(self.trials, beside=frozenset({self.base().digest, *own}))

    @property
    def _order(self) -> Order:
        return "qmc" if self.sampler == "qmc" else "random"

    def _started(self, trained: Sequence[Trial], scored: int) -> bool:
        """True where enough of the trained networks have a score for the sampler to be asked."""
        used = self.spent(self.race.used(trained), startup.STARTUP_SHARE)
        return startup.started(self.sampler, scored, trials=self.to_the_end, used=used)

    def _blocked(self, own: Collection[str]) -> str:
        """The reason why nothing is left to propose."""
        slow = " or too slow" if self.price.clock else ""
        if self.sampler == "grid":
            allowed = " that are allowed" if self.limits.restrictions else ""
            return f"all {len(self._grid(own))} networks of the grid{allowed} are trained{slow}"
        return none_left(self.space, self._order, self.seed, blocks=BLOCKS, slow=slow)


def _step(trial: Trial) -> int:
    return trial.candidate.step or 0
