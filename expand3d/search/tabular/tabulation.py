"""The strategy that decides nothing: it trains every network of a list, rung by rung, into a table.

The list is made once and kept, so that a study which goes on for days, or in a later version, ends
with the networks that it began with. A network and one of its seeds are one trial.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Genotype
from expand3d.core.trial import Candidate, Trial
from expand3d.cost.price import IN_MACS, Known, Price, nothing
from expand3d.networks.family import Limits
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.expansion.steps import Offer, StepSummary
from expand3d.search.statistics import Metric, rank
from expand3d.search.strategy import Ask, Batch, Done, Given, Strategy, StrategyBase, answers
from expand3d.search.tabular.networks import closure, draws

#: Networks of these steps come first, whatever they cost.
FIRST_STEPS = 2


@dataclass(frozen=True)
class Tabulation(StrategyBase):
    """The strategy: `networks` in their order, each with the seed that its `repeat` says.

    Each is tested after the visits of every rung and at its recipe's end. `at_a_time` networks are
    proposed together.
    """

    family: str
    num_classes: int
    budget: int
    networks: tuple[Candidate, ...]
    rungs: tuple[int, ...]
    limits: Limits = field(default_factory=Limits)
    start: Genotype | None = None
    metric: Metric = "nll"
    seed: int = 0
    at_a_time: int = 1
    price: Price = IN_MACS

    unstored: ClassVar[tuple[str, ...]] = ("networks",)

    @classmethod
    def configured(cls, given: Given) -> Tabulation:
        config, price = given.config, given.price
        if price.measured:
            raise ConfigError("a table goes by multiply-adds; leave latency out of the budget")
        rungs = config.rungs_below(config.training_recipe())
        expansion = Expansion(
            family=given.start.family,
            num_classes=given.num_classes,
            budget=given.budget,
            limits=given.limits,
            start=given.start,
            seed=config.seed,
            price=price,
        )
        networks = listed(
            expansion, count=config.draws, repeats=config.repeats, repeated=config.repeated
        )
        if config.only_first is not None:
            networks = networks[: config.only_first]
        return cls(
            family=given.start.family,
            num_classes=given.num_classes,
            budget=given.budget,
            networks=networks,
            rungs=rungs,
            limits=given.limits,
            start=given.start,
            metric=given.metric,
            seed=config.seed,
            at_a_time=config.at_a_time,
            price=price,
        )

    def ask(self, history: Sequence[Trial]) -> Ask:
        """The next networks up to their next rung, or Done."""
        finished = answers(history)
        reached = {t.candidate.digest: t.reached for t in history if t.state == "running"}
        left = (c for c in self.networks if c.digest not in finished)
        first = [c for c, _ in zip(left, range(self.at_a_time), strict=False)]
        if not first:
            return Done(f"all {len(self.networks)} trainings of the table are there")
        nexts = {c.digest: self._next(reached.get(c.digest, 0)) for c in first}
        visits = min(nexts.values(), key=lambda visits: visits or float("inf"))
        batch = tuple(c for c in first if nexts[c.digest] == visits)
        done = sum(c.digest in finished for c in self.networks)
        to = "the end" if visits is None else f"{visits} visits"
        return Batch(batch, f"table: {done} of {len(self.networks)} trained; to {to}", visits)

    def _next(self, reached: int) -> int | None:
        return next((rung for rung in self.rungs if rung > reached), None)

    def steps(self, history: Sequence[Trial]) -> tuple[StepSummary, ...]:
        """No steps: a table compares nothing."""
        return ()

    def result(self, history: Sequence[Trial]) -> Trial | None:
        """The best network, for those who look; the table itself has no use for it."""
        complete = [trial for trial in history if trial.state == "complete"]
        return rank(complete, self.metric)[0] if complete else None

    def futures(self, history: Sequence[Trial] = ()) -> tuple[tuple[Offer, ...], ...]:
        """The one way: the base, then everything else."""
        first, *rest = self.networks
        offers = [Offer(0, first.cost, (first,), quantity=self.price.quantity)]
        if rest:
            middle = sum(c.cost for c in rest) // len(rest)
            offers.append(Offer(1, middle, tuple(rest), quantity=self.price.quantity))
        return (tuple(offers),)

    def limits_text(self) -> str:
        """One line: which networks are in the table."""
        plans = {c.plan.digest for c in self.networks}
        return (
            f"{len(plans)} networks up to {self.price.quantity.text(self.budget)} in "
            f"{len(self.networks)} trainings, crops up to {self.limits.crop} pixels, clips up to "
            f"{self.limits.duration} frames{self.restrictions_text()}"
        )

    def extended(self, now: Strategy) -> Self:
        """The same list; only how many are trained side by side may change."""
        assert isinstance(now, Tabulation)
        return replace(self, at_a_time=now.at_a_time)

    def to_json(self) -> dict[str, Any]:
        networks = [candidate.to_json() for candidate in self.networks]
        return {"strategy": "tabulate", **super().to_json(), "networks": networks}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, known: Known = nothing) -> Self:
        networks = tuple(Candidate.from_json(each) for each in data["networks"])
        fields = {**data, "networks": networks, "rungs": tuple(data["rungs"])}
        return super().from_json(fields, known=known)


def listed(
    expansion: Expansion, *, count: int, repeats: int, repeated: int
) -> tuple[Candidate, ...]:
    """The networks of a table with their seeds, so ordered that a part of it is of use.

    The first seed of the first two steps' networks; then of the rest of the closure by cost, and of
    `count` random ones; then the other seeds of `repeated` networks.
    """
    whole = closure(expansion)
    early = [c for c in whole if (c.step or 0) <= FIRST_STEPS]
    late = sorted((c for c in whole if (c.step or 0) > FIRST_STEPS), key=lambda c: c.macs)
    random = list(draws(expansion, count, {c.digest for c in whole}))
    ordered = [*early, *late, *random]
    more = [
        replace(c, repeat=repeat)
        for repeat in range(1, repeats)
        for c in _repeated(early, [*late, *random], repeated)
    ]
    return (*(replace(c, repeat=0) for c in ordered), *more)


def _repeated(
    early: Sequence[Candidate], later: Sequence[Candidate], count: int
) -> Iterator[Candidate]:
    """The early networks, and of the later ones as many as `count` leaves, evenly spread."""
    yield from early[:count]
    left = min(max(0, count - len(early)), len(later))
    for place in range(left):
        yield later[(2 * place + 1) * len(later) // (2 * left)]
