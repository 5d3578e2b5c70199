"""Strategies that propose whole networks: Optuna's samplers, random and Sobol points, a grid.

Each is a function of the record: a batch depends on the seed and on what was trained in the batches
before it, never on the order in which trials finished. Networks over the budget or beyond the data
are refused from arithmetic and are not recorded: the record and the seed give them again. Where
latency is limited, what arithmetic and a guess allow is measured, once, before it is trained.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from expand3d.core.errors import ConfigError, nearest
from expand3d.core.genotype import Genotype, digest
from expand3d.core.plugins import STRATEGIES
from expand3d.core.recipe import Multigrid
from expand3d.core.trial import BASELINE, Candidate, Trial
from expand3d.cost.price import IN_MACS, Known, Price, Unmeasured, nothing
from expand3d.networks import get_family
from expand3d.networks.family import Limits
from expand3d.networks.multigrid import mean_macs
from expand3d.search.expansion.steps import Offer, StepSummary
from expand3d.search.samplers.latency_guess import SLACK, guesses
from expand3d.search.samplers.optuna import GENETIC, Model
from expand3d.search.samplers.simplex import Draw, Simplex, every_axis_costs
from expand3d.search.samplers.space import RESTRICTED, Order, Space, Verdict
from expand3d.search.samplers.trained import Trained
from expand3d.search.statistics import Metric, estimate, rank
from expand3d.search.strategy import Ask, Batch, Done, Given, Measure, StrategyBase, answers

#: Random networks before a model has something to learn from: at least, and at most.
LEAST_STARTUP, STARTUP = 2, 10
#: The part of all networks, or of what may be spent, that goes to random ones at most.
STARTUP_SHARE = 3
#: How often a sampler is asked for one network before a random one takes its place. A Gaussian
#: process is fitted anew each time.
ATTEMPTS = {"tpe": 100, "nsga2": 200, "nsga3": 200, "gp": 5}
#: Blocks of 4,096 points that are searched for a network that is legal and new.
BLOCKS = 16
#: Networks in a row, of those that no model suggests, that may turn out to be too slow.
TOO_SLOW = 50
#: The least and the most networks of a generation, and how many generations are aimed at.
LEAST_POPULATION, MOST_POPULATION, GENERATIONS = 4, 50, 4


@dataclass(frozen=True)
class Sampling(StrategyBase):
    """The strategy: `trials` networks in all from `sampler`, the start of the family first.

    `batch` networks are proposed at once; a later batch knows the results of those before. A grid
    needs no results and may end before `trials`. No batch follows once the networks' multiply-adds,
    of one clip each (of the mean one, by visits `by_shape`), add up to `spend`. `draw` "shares"
    proposes a cost and shares of the growth up to it, "factors" each factor, as earlier versions.
    """

    sampler: str
    family: str
    num_classes: int
    budget: int
    limits: Limits = field(default_factory=Limits)
    start: Genotype | None = None
    metric: Metric = "nll"
    seed: int = 0
    trials: int = 30
    batch: int = 1
    spend: int | None = None
    price: Price = IN_MACS
    draw: Draw = "shares"
    multigrid: Multigrid = "off"
    by_shape: tuple[int, ...] = (1,)

    later: ClassVar[Mapping[str, Any]] = {"multigrid": "off", "by_shape": (1,)}
    grows: ClassVar[tuple[str, ...]] = ("budget", "trials", "spend")

    @classmethod
    def configured(cls, given: Given) -> Sampling:
        config = given.config
        return cls(
            draw="shares" if every_axis_costs(given) else "factors",
            sampler=config.strategy,
            family=given.start.family,
            num_classes=given.num_classes,
            budget=given.budget,
            limits=given.limits,
            start=given.start,
            metric=given.metric,
            seed=config.seed,
            trials=config.trials,
            batch=config.batch,
            spend=given.spend,
            multigrid=given.multigrid,
            by_shape=given.by_shape,
            price=given.price,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, known: Known = nothing) -> Self:
        return super().from_json({"draw": "factors", **data}, known=known)

    def __post_init__(self) -> None:
        samplers = STRATEGIES.using("batch")
        if self.sampler not in samplers:
            raise ConfigError(f"unknown sampler {self.sampler!r}{nearest(self.sampler, samplers)}")
        for key in ("trials", "batch"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)} must be at least 1")
        self.base()  # refuses a budget below it

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
        done = answers(mine).values()
        finished = sorted(done, key=lambda t: (t.candidate.step or 0, t.candidate.digest))
        trained = [known[base.digest], *finished]
        last = max((candidate.step or 0 for candidate in own.values()), default=0)
        if last and (unfinished := self._unfinished(last, own, known, trained)):
            return unfinished
        if len(trained) >= self.trials:
            everything = f"all {self.trials} networks of {self.sampler} are trained"
            return Done(f"{everything}; only a larger --trials adds some")
        if self._spent(trial.candidate for trial in trained):
            reached = f"{len(trained)} networks of {self.sampler}"
            return Done(f"{reached} have reached the training limit")
        return self._propose(last + 1, trained, set(known), own.keys())

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
        self = self._guessed()
        known = answers(history)
        found = {c.digest: c for t in known.values() if (c := t.candidate).role == self.sampler}
        sequence = (verdict for verdict in self._sequence(found) if self._fits(verdict))
        while (
            len(found) < self.trials - 1
            and not self._spent((base, *found.values()))
            and (verdict := next(sequence, None)) is not None
        ):
            candidate = self._candidate(verdict, 1)
            if candidate.digest != base.digest and candidate.digest not in known:
                found.setdefault(candidate.digest, candidate)
        quantity = self.price.quantity
        offers = [Offer(0, base.cost, (base,), quantity=quantity)]
        if found:
            costs = sorted(found.values(), key=lambda c: (-c.cost, c.digest))
            middle = sum(c.cost for c in costs) // len(costs)
            offers.append(Offer(1, middle, tuple(costs), quantity=quantity))
        return (tuple(offers),)

    def limits_text(self) -> str:
        """One line: the ranges within which networks are proposed, and where the data ends."""
        dimensions = self._guessed().space.dimensions
        ranges = ", ".join(
            f"{d.factor} {d.value(d.low):.4g} to {d.value(d.high):.4g}" for d in dimensions
        )
        return (
            f"{ranges or 'nothing can vary'}; costs up to "
            f"{self.price.quantity.text(self.budget)}, "
            f"crops up to {self.limits.crop} pixels, clips up to {self.limits.duration} frames"
            f"{self.restrictions_text()}"
        )

    @property
    def space(self) -> Space | Simplex:
        """The networks that may be proposed."""
        start = self.start or get_family(self.family).base
        price, slack = self.price, 1.0
        if price.measured:
            guess = guesses(
                start,
                num_classes=self.num_classes,
                budget=self.budget,
                limits=self.limits,
                price=price,
            )
            price, slack = replace(price, known=guess), SLACK
        space = Space(self.family, start, self.num_classes, self.budget, self.limits, price, slack)
        # A lattice lies at the budget, where a limit of latency may refuse all of it.
        timed = self.sampler == "grid" and self.price.clock is not None
        return space if timed or self.draw == "factors" else Simplex(space)

    @property
    def population(self) -> int:
        """Networks of a generation, for the samplers that breed."""
        return max(LEAST_POPULATION, min(MOST_POPULATION, self.trials // GENERATIONS))

    def _guessed(self) -> Sampling:
        """The same, for a look ahead that measures nothing."""
        start = self.base().plan
        return replace(self, price=self.price.guessed(start))

    def _spent(self, candidates: Iterable[Candidate], part: int = 1) -> bool:
        """True where training these has used up the limit, or one of so many parts of it."""
        each = (mean_macs(c.plan, self.multigrid, self.by_shape) for c in candidates)
        return self.spend is not None and part * sum(each) >= self.spend

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
        first = len(trained) + 1
        numbers = f"{first}" if size == 1 else f"{first} to {first + len(found) - 1}"
        return Batch(tuple(found), f"{self.sampler}: network {numbers} of {self.trials}")

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
        """True where enough of the trained networks have a score for the sampler to be asked.

        A training limit may end the search long before `trials`, so that a part of it counts as
        the same part of them does. What is spent only grows: once asked, a sampler stays asked.
        """
        if self.sampler in GENETIC:
            return scored >= self.population
        if scored >= min(STARTUP, max(LEAST_STARTUP, self.trials // STARTUP_SHARE)):
            return True
        used = self._spent((trial.candidate for trial in trained), STARTUP_SHARE)
        return used and scored >= LEAST_STARTUP

    def _blocked(self, own: Collection[str]) -> str:
        """The reason why nothing is left to propose."""
        slow = " or too slow" if self.price.clock else ""
        if self.sampler == "grid":
            allowed = " that are allowed" if self.limits.restrictions else ""
            return f"all {len(self._grid(own))} networks of the grid{allowed} are trained{slow}"
        refused = self.space.refused(self._order, self.seed, blocks=BLOCKS)
        known = sum(1 for _ in self.space.legal(self._order, self.seed, blocks=BLOCKS))
        over = [(name, count) for name, count in refused.most_common() if name != RESTRICTED]
        reasons = [f"{count:,} exceed the limit of {name}" for name, count in over]
        if example := self.space.refusal(self._order, self.seed, blocks=BLOCKS):
            count = f"{refused[RESTRICTED]:,}" if refused[RESTRICTED] else "some"
            reasons.append(f"{count} are refused (such as: {example})")
        return (
            f"no new network among {refused.total() + known:,} points: "
            f"{', '.join([*reasons, f'{known:,} are known{slow}'])}"
        )
