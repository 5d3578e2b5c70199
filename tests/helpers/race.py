"""A strategy that races: all networks to some visits, the better half on, the winner to the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from expand3d.core.genotype import Genotype
from expand3d.core.trial import Candidate, Trial, summarise
from expand3d.cost.price import IN_MACS, Price
from expand3d.networks import get_family
from expand3d.networks.family import Limits
from expand3d.search.statistics import Metric
from expand3d.search.strategy import Ask, Batch, Done, Given, Stop, StrategyBase, answers

#: As a study's configuration names them.
RACE, NO_RACE = "tests.helpers.race:Race", "tests.helpers.race:NoRace"
#: Four networks of the family x3d by what they change of its base.
FIELD: tuple[dict[str, float], ...] = ({}, {"gamma_w": 1.3}, {"gamma_b": 1.5}, {"gamma_d": 2.0})


@dataclass(frozen=True)
class Race(StrategyBase):
    family: str
    num_classes: int
    budget: int
    limits: Limits
    start: Genotype | None
    metric: Metric = "nll"
    seed: int = 0
    price: Price = IN_MACS
    #: Clip visits at which half of the networks are left behind.
    rungs: tuple[int, ...] = (8, 16)

    @classmethod
    def configured(cls, given: Given) -> Race:
        return cls(
            given.config.family,
            given.num_classes,
            given.budget,
            given.limits,
            given.start,
            given.metric,
            given.config.seed,
            given.price,
        )

    @classmethod
    def from_json(cls, data: Any, *, known: Any) -> Race:
        return super().from_json({**data, "rungs": tuple(data["rungs"])}, known=known)

    def field(self) -> tuple[Candidate, ...]:
        family = get_family(self.family)
        genotypes = [family.base.replace(**change) for change in FIELD]
        plans = [family.resolve(g, num_classes=self.num_classes) for g in genotypes]
        return tuple(
            Candidate(
                genotype, plan, step=1, axis=None, label=str(place), **self.price.fields(plan)
            )
            for place, (genotype, plan) in enumerate(zip(genotypes, plans, strict=True))
        )

    def ask(self, history: Sequence[Trial]) -> Ask:
        racing = self.field()
        for rung in self.rungs:
            known = answers(history, rung)
            if any(candidate.digest not in known for candidate in racing):
                return Batch(racing, f"{len(racing)} networks to {rung} visits", visits=rung)
            ranked = sorted(racing, key=lambda c: _loss(known[c.digest], rung))
            racing, behind = ranked[: len(ranked) // 2], ranked[len(ranked) // 2 :]
            late = tuple(c for c in behind if known[c.digest].state == "running")
            if late:
                return Stop(late, f"in the worse half after {rung} visits")
        known = answers(history)
        if any(candidate.digest not in known for candidate in racing):
            return Batch(tuple(racing), "the winner to its end")
        return Done("the race is over")

    def steps(self, history: Sequence[Trial]) -> tuple[()]:
        return ()

    def result(self, history: Sequence[Trial]) -> Trial | None:
        return next((trial for trial in history if trial.state == "complete"), None)

    def futures(self, history: Sequence[Trial] = ()) -> tuple[()]:
        return ()

    def limits_text(self) -> str:
        return "four networks"


@dataclass(frozen=True)
class NoRace(Race):
    """The same networks, all of them trained to their end."""

    rungs: tuple[int, ...] = ()


def _loss(trial: Trial, rung: int) -> float:
    """Log-loss there; a network that failed is the worst."""
    score = summarise(trial.at(rung))
    return score.nll if score and trial.state != "failed" else float("inf")
