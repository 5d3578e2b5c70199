"""The expansion (X3D, arXiv 2004.04730, section 3): from a tiny base, one axis a step, to a budget.

Each step offers one candidate per axis, all of about the same cost; the best of them is expanded
next. Everything here is a function of the record: replaying the trials replays the run.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal, get_args

from expand3d.core.errors import ConfigError, nearest
from expand3d.core.genotype import Genotype
from expand3d.core.trial import BASELINE, PARENT, SCRATCH, Candidate, Trial
from expand3d.cost.price import IN_MACS, Known, Price, Unmeasured, nothing
from expand3d.networks import get_family
from expand3d.networks.family import Family, Limits
from expand3d.search.expansion.compound import COMPOUND, compound, parents
from expand3d.search.expansion.race import Race
from expand3d.search.expansion.seeds import pooled
from expand3d.search.expansion.solve import (
    LEAST_GROWTH,
    Exhausted,
    Solution,
    Solver,
    contract,
    solve,
)
from expand3d.search.expansion.steps import Offer, StepSummary, eligible, gathered, united
from expand3d.search.expansion.targets import next_target, worth_a_step
from expand3d.search.statistics import Metric, rank
from expand3d.search.strategy import Ask, Done, Given, Measure, StrategyBase, answers

Schedule = Literal["fit", "paper", "paper-all"]
Growth = Literal["single", "compound", "both"]
#: Ways in which a run may go that a forecast looks at.
FUTURES = 15


@dataclass(frozen=True)
class Expansion(StrategyBase):
    """The strategy: forward expansion of a family's base until the budget is used.

    `price` says what `budget` counts, multiply-adds if left out, and which limits hold beside it.

    `schedule` "fit" aims the steps at fixed costs, each `ratio` times the one before, and the last
    at the budget (`search/expansion/targets.py`); "paper" grows each winner by `ratio` past the
    budget and contracts the last axis backward to lie under it, "paper-all" each axis by itself.
    `axes` restricts the family's axes, `start` replaces its base. `growth` says whether a step
    offers a network per axis, one that grows all axes at once (compound), or both. The `beam` best
    networks of a step are all expanded in the next, towards one cost; a network that several lead
    to counts as the best one's. With `inherit` networks begin with their parents' weights. With
    `rungs` (clip visits) the candidates of a step race, and close ones get up to `more_seeds`
    further seeds.
    """

    family: str
    num_classes: int
    budget: int
    limits: Limits = field(default_factory=Limits)
    start: Genotype | None = None
    schedule: Schedule = "fit"
    metric: Metric = "nll"
    seed: int = 0
    ratio: float = 2.0
    axes: tuple[str, ...] | None = None
    beam: int = 1
    growth: Growth = "single"
    inherit: bool = False
    rungs: tuple[int, ...] = ()
    repeats: int = 1
    more_seeds: int = 0
    solver: Solver = solve
    price: Price = IN_MACS

    unstored: ClassVar[tuple[str, ...]] = ("solver",)
    later: ClassVar[Mapping[str, Any]] = {
        "inherit": False,
        "rungs": (),
        "repeats": 1,
        "more_seeds": 0,
    }

    @classmethod
    def configured(cls, given: Given) -> Expansion:
        config = given.config
        return cls(
            family=given.start.family,
            num_classes=given.num_classes,
            budget=given.budget,
            limits=given.limits,
            start=given.start,
            schedule=config.schedule,
            metric=given.metric,
            seed=config.seed,
            ratio=config.ratio,
            beam=config.beam,
            growth=config.growth,
            inherit=config.init == PARENT,
            rungs=config.race_rungs(),
            repeats=config.repeats if config.race else 1,
            more_seeds=config.more_seeds,
            price=given.price,
        )

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "axes": list(self.axes) if self.axes else None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, known: Known = nothing) -> Expansion:
        axes = tuple(data["axes"]) if data["axes"] else None
        return super().from_json({**data, "axes": axes}, known=known)

    def __post_init__(self) -> None:
        for key, value, legal in (
            ("schedule", self.schedule, get_args(Schedule)),
            ("growth", self.growth, get_args(Growth)),
            ("metric", self.metric, get_args(Metric)),
        ):
            if value not in legal:
                raise ConfigError(f"unknown {key} {value!r}{nearest(value, legal)}")
        if self.axes == ():
            raise ConfigError("axes = () must name at least one axis, or be left out for all")
        for axis in self.axes or ():
            if axis not in self._family.axes:
                near = nearest(axis, self._family.axes)
                raise ConfigError(f"{self.family} has no axis {axis!r}{near}")
        if self.ratio < LEAST_GROWTH:
            raise ConfigError(f"ratio = {self.ratio:g} must be at least {LEAST_GROWTH:g}")
        if self.beam < 1:
            raise ConfigError(f"beam = {self.beam} must be at least 1")
        if self.price.measured and self.growth != "single":
            raise ConfigError(
                f"growth = {self.growth!r} needs a first limit that arithmetic knows, such as "
                "4GFLOPs,25ms; growth = 'single' can do without"
            )
        self.base()  # refuses a budget below it

    def ask(self, history: Sequence[Trial]) -> Ask:
        """The candidates of the first step that `history` leaves open, or Done with the reason.

        Measure where a step, or `result` in the end, depends on a latency that nobody knows.
        """
        asked = self._walk(history)[1]
        if isinstance(asked, Done):
            try:  # those of a smaller budget, or of an earlier version, may lack one
                for trial in history:
                    if trial.state == "complete":
                        self.inside(trial.candidate)
            except Unmeasured as missing:
                return Measure(missing.plan)
        return asked

    def steps(self, history: Sequence[Trial]) -> tuple[StepSummary, ...]:
        """Every step that `history` has reached, the open one included."""
        return self._walk(history)[0]

    def result(self, history: Sequence[Trial]) -> Trial | None:
        """The best trained network within the budget; of equal estimates the cheaper.

        A baseline counts only where a step offers the same network, and none that close ones with
        more seeds have beaten. Before `ask` is Done a network whose latency is not known yet counts
        as over its limit.
        """
        inside = [
            trial
            for trial in pooled(history)
            if trial.state == "complete" and self._surely_inside(trial.candidate)
        ]
        if self.more_seeds or any(trial.candidate.role == BASELINE for trial in inside):
            inside = eligible(inside, self.steps(history))
        return rank(inside, self.metric)[0] if inside else None

    def futures(self, history: Sequence[Trial] = ()) -> tuple[tuple[Offer, ...], ...]:
        """Some ways in which a run may go: in each the steps, which networks, what they cost.

        Finished steps go as `history` has them. Which axes will win in the others is unknown
        before anything is trained, so they are drawn by lot.
        """
        price = self.price.guessed(self.base().plan)
        known = answers(pooled(history))
        return tuple(
            replace(self, price=price)._future(random.Random(lot), known) for lot in range(FUTURES)
        )

    def _future(self, lots: random.Random, known: Mapping[str, Trial]) -> tuple[Offer, ...]:
        offers: list[Offer] = []
        offer = self._offer(0, ())
        while isinstance(offer, Offer):
            offers.append(offer)
            step = self._summary(offer, known, None)
            kept: Sequence[Candidate] = step.kept
            if step.pending:
                kept = lots.sample(offer.candidates, min(self.beam, len(offer.candidates)))
            elif not kept:
                break
            offer = self._offer(offer.step + 1, kept)
        return tuple(offers)

    def after(self, current: Candidate) -> tuple[Candidate, ...]:
        """The networks of the step that follows where `current` alone is kept; () at the end."""
        return getattr(self._offer((current.step or 0) + 1, (current,)), "candidates", ())

    def limits_text(self) -> str:
        """One line: where the data ends."""
        frames, stride = self.limits.first_clip
        return (
            f"crops up to {self.limits.crop} pixels, clips up to {self.limits.duration} frames, "
            f"first clip {frames} x {stride}, "
            f"costs up to {self.price.quantity.text(self.budget)}{self.restrictions_text()}"
        )

    @property
    def _family(self) -> Family:
        return get_family(self.family)

    def _walk(self, history: Sequence[Trial]) -> tuple[tuple[StepSummary, ...], Ask]:
        known, every = answers(pooled(history)), answers(history)
        race = Race(self.rungs, self.metric, self.repeats, self.more_seeds)
        steps: list[StepSummary] = []
        before: Trial | None = None
        offer = self._offer(0, ())
        while isinstance(offer, Offer):
            step = self._summary(offer, known, before)
            steps.append(step)
            if step.pending:
                asked = race.ask(offer.candidates, self.base(), history, offer.note())
                return tuple(steps), asked
            if not step.ranked:
                return tuple(steps), Done(step.text)
            if self.more_seeds:
                close = race.close(step.ranked, self.base(), every, offer.note())
                step = steps[-1] = step.settled(close.networks, close.seeds, close.asked is None)
                if close.asked is not None:
                    return tuple(steps), close.asked
            before = step.ranked[0]
            offer = self._offer(offer.step + 1, step.kept)
        return tuple(steps), offer

    def _summary(
        self, offer: Offer, known: Mapping[str, Trial], before: Trial | None
    ) -> StepSummary:
        trials = tuple(known.get(candidate.digest) for candidate in offer.candidates)
        # A network that an earlier step trained answers under the name that it has in this one.
        trained = [
            replace(trial, candidate=candidate)
            for candidate, trial in zip(offer.candidates, trials, strict=True)
            if trial is not None and trial.state == "complete"
        ]
        ranked = () if None in trials else tuple(rank(trained, self.metric))
        repeats = self.repeats if self.more_seeds else None
        return StepSummary(
            offer, trials, ranked, before, self.metric, self.seed, self.beam, repeats=repeats
        )

    def _offer(self, step: int, beam: Sequence[Candidate]) -> Offer | Done | Measure:
        """The offer of a step after the networks of `beam` were kept, best first."""
        try:
            offer = self._offered(step, beam)
        except Unmeasured as missing:
            return Measure(missing.plan)
        return replace(offer, quantity=self.price.quantity) if isinstance(offer, Offer) else offer

    def _offered(self, step: int, beam: Sequence[Candidate]) -> Offer | Done:
        if not beam:
            return Offer(step, self.base().cost, (self.base(),))
        target = self._target(beam)
        found = [self._following(step, current, target) for current in beam]
        offers = [
            (name, offer)
            for name, offer in zip(parents(beam), found, strict=True)
            if isinstance(offer, Offer)
        ]
        if not offers:
            reasons = [ended.reason for ended in found if isinstance(ended, Done)]
            return Done("; ".join(dict.fromkeys(reasons)))
        return offers[0][1] if len(beam) == 1 else united(step, target, offers)

    def _target(self, beam: Sequence[Candidate]) -> int:
        """The cost that a step aims at, by the best network that can grow.

        "fit" takes the next of a fixed row, the paper's schedules a growth of the network.
        """
        able = (c for c in beam if c.role != "contract" and self._can_grow(c))
        best = next(able, beam[0])
        if self.schedule != "fit":
            return round(self.ratio * best.cost)
        start, aimed = self.base().cost, best.target or 0
        return next_target(best.cost, aimed, start=start, ratio=self.ratio, budget=self.budget)

    def _can_grow(self, candidate: Candidate) -> bool:
        """True where the budget leaves the network enough for another step."""
        aimed = (candidate.target or 0) if self.schedule == "fit" else 0
        return worth_a_step(candidate.cost, aimed, ratio=self.ratio, budget=self.budget)

    def _following(self, step: int, current: Candidate, target: int) -> Offer | Done:
        """The offer after one network: contraction, growth to `target`, or nothing."""
        if current.role == "contract":
            return Done("the last expansion is contracted to lie under the budget")
        if not self.inside(current):
            return self._contraction(step, current)
        cost = self.price.quantity.text(current.cost)
        if current.cost * LEAST_GROWTH > self.budget:
            return Done(f"{cost} is within 5% of the budget")
        if not self._can_grow(current):
            used = current.cost / self.budget
            return Done(f"{cost} is {used:.0%} of the budget, which its step aimed at")
        if current.cost * LEAST_GROWTH > target:
            return Done(f"{cost} is within 5% of the step's target")
        return self._expansion(step, current, target)

    def _surely_inside(self, candidate: Candidate) -> bool:
        """True where the network is known to be within every limit."""
        try:
            return self.inside(candidate)
        except Unmeasured:
            return False

    @property
    def _all_axes(self) -> tuple[str, ...]:
        return self.axes or self._family.axes

    def _expansion(self, step: int, current: Candidate, target: int) -> Offer | Done:
        single = () if self.growth == "compound" else self._all_axes
        axes = (*single, *(() if self.growth == "single" else (COMPOUND,)))
        found = ((axis, self._grown(axis, current.genotype, target)) for axis in axes)
        made = partial(self._candidate, step, target, "expand", current)
        offer = gathered(step, target, found, made)
        if offer.candidates:
            return offer
        reasons = "; ".join(f"{axis}: {reason}" for axis, reason in offer.exhausted)
        return Done(f"no axis can grow by 5% within the budget ({reasons})")

    def _grown(self, axis: str, genotype: Genotype, target: int) -> Solution | Exhausted:
        """The network on the axis, or on all of them, whose cost is nearest to `target`."""
        if axis == COMPOUND:
            along = partial(compound, self._family, self._all_axes, genotype)
        else:
            along = partial(self.solver, self._family, axis, genotype)
        return along(
            target=target,
            ceiling=self.budget if self.schedule == "fit" else None,
            limits=self.limits,
            num_classes=self.num_classes,
            price=self.price,
        )

    def _contraction(self, step: int, current: Candidate) -> Offer | Done:
        assert current.axis is not None, "only an expansion can overshoot"
        every = self.schedule == "paper-all" or current.axis == COMPOUND
        along = partial(
            contract,
            budget=self.budget,
            num_classes=self.num_classes,
            price=self.price,
            limits=self.limits,
        )
        axes = self._all_axes if every else (current.axis,)
        found = ((axis, along(self._family, axis, current.genotype)) for axis in axes)
        made = partial(self._candidate, step, self.budget, "contract", current)
        offer = gathered(step, self.budget, found, made)
        if offer.candidates:
            return offer
        return Done("; ".join(f"{axis} {reason}" for axis, reason in offer.exhausted))

    def _candidate(
        self, step: int, target: int, role: str, parent: Candidate, axis: str, found: Solution
    ) -> Candidate:
        # A network that `result` may ask about is measured before it is trained, as everywhere;
        # only a ceiling has done that already.
        if self.price.of(found.plan) <= self.budget:
            self.price.over(found.plan)
        return Candidate(
            genotype=found.genotype,
            plan=found.plan,
            step=step,
            axis=axis,
            role=role,
            target=target,
            parent=parent.digest,
            start=parent.digest if self.inherit else SCRATCH,
            **self.price.fields(found.plan),
        )
