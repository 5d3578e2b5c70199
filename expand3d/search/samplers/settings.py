"""The settings of a sampler, as a configuration or a record has them, and the space they span."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from expand3d.core.errors import ConfigError, nearest
from expand3d.core.genotype import Genotype
from expand3d.core.plugins import STRATEGIES
from expand3d.core.recipe import Multigrid
from expand3d.cost.price import IN_MACS, Known, Price, nothing
from expand3d.networks import get_family
from expand3d.networks.family import Limits
from expand3d.search.samplers import startup
from expand3d.search.samplers.halving import Halving
from expand3d.search.samplers.latency_guess import SLACK, guesses
from expand3d.search.samplers.simplex import Draw, Simplex, every_axis_costs
from expand3d.search.samplers.space import Space
from expand3d.search.statistics import Metric
from expand3d.search.strategy import Given, StrategyBase


@dataclass(frozen=True)
class Settings(StrategyBase):
    """The settings: `trials` networks in all from `sampler`, `batch` of them proposed at once.

    A grid may end before `trials`. No batch follows once the networks' multiply-adds, of one clip
    each (of the mean one, by visits `by_shape`), add up to `spend`. `draw` "shares" proposes a cost
    and shares of the growth up to it, "factors" each factor by itself, as earlier versions did.
    With `rungs` (clip visits, of `visits` of a training) the networks of a batch race.
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
    rungs: tuple[int, ...] = ()
    visits: int = 1
    multigrid: Multigrid = "off"
    by_shape: tuple[int, ...] = (1,)

    later: ClassVar[Mapping[str, Any]] = {
        "rungs": (),
        "visits": 1,
        "multigrid": "off",
        "by_shape": (1,),
    }
    grows: ClassVar[tuple[str, ...]] = ("budget", "trials", "spend")

    @classmethod
    def configured(cls, given: Given) -> Self:
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
            price=given.price,
            rungs=config.race_rungs(),
            visits=given.visits if config.race else 1,
            multigrid=given.multigrid,
            by_shape=given.by_shape,
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

    def limits_text(self) -> str:
        """One line: the ranges within which networks are proposed, and where the data ends."""
        dimensions = self.guessed().space.dimensions
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
        return startup.population(self.to_the_end)

    @property
    def race(self) -> Halving:
        """The race of a batch; one without rungs trains all of it."""
        return Halving(self.rungs, self.metric, self.visits, self.multigrid, self.by_shape)

    @property
    def to_the_end(self) -> int:
        """The networks that are trained to their end, of `trials` in all."""
        return self.race.to_the_end(self.trials, self.batch)

    def guessed(self) -> Self:
        """The same, for a look ahead that measures nothing."""
        start = self.base().plan
        return replace(self, price=self.price.guessed(start))

    def spent(self, used: int, part: int = 1) -> bool:
        """True where visits times multiply-adds have used up the limit, or a part of so many."""
        return self.spend is not None and part * used >= self.spend * self.visits
