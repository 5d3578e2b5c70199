"""The expansion (X3D, arXiv 2004.04730, section 3): from a tiny base, one axis a step, to a budget.

Each step offers one candidate per axis, all of about the same cost; the best of them is expanded
next. Everything here is a function of the record: replaying the trials replays the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, get_args

from expand3d.cost.budget import format_macs
from expand3d.errors import ConfigError, nearest
from expand3d.families import get_family
from expand3d.families.base import Family, Limits
from expand3d.genotype import Genotype
from expand3d.search.base import Ask, Batch, Done, answers, base_candidate
from expand3d.search.select import Choice, Metric, axes_of, choose, estimate, label, rank
from expand3d.search.solve import (
    LEAST_GROWTH,
    Exhausted,
    Solution,
    Solver,
    contract,
    solve,
)
from expand3d.study.trial import BASELINE, Candidate, Trial

Schedule = Literal["fit", "paper"]


@dataclass(frozen=True)
class Offer:
    """The candidates of one step, and why the axes that are missing offer nothing."""

    step: int
    target: int
    candidates: tuple[Candidate, ...]
    exhausted: tuple[tuple[str, str], ...] = ()

    def note(self) -> str:
        """One line: how many networks of about which cost, and which axes are at their end."""
        count = len(self.candidates)
        networks = "network" if count == 1 else "networks"
        near = f"step {self.step}: {count} {networks} near {format_macs(self.target)}"
        return "; ".join([near, *(f"{axis}: {reason}" for axis, reason in self.exhausted)])


@dataclass(frozen=True)
class StepSummary:
    """One step as the record has it: its offer, the trials that answer it, and the choice.

    `trials` follows the offer's candidates, None where one is not finished. `ranked` holds those
    that were trained, best first, once every candidate is finished. `before` is the winner of the
    step before. The statistics are computed when they are first read.
    """

    offer: Offer
    trials: tuple[Trial | None, ...]
    ranked: tuple[Trial, ...]
    before: Trial | None
    metric: Metric
    seed: int

    @property
    def pending(self) -> bool:
        """Whether a candidate is still to be trained."""
        return None in self.trials

    @property
    def winner(self) -> Candidate | None:
        """The candidate that is expanded next; None while the step is open, or where all failed."""
        return self.ranked[0].candidate if self.ranked else None

    @cached_property
    def choice(self) -> Choice | None:
        """The winner against the others, and how sure that is."""
        if not self.ranked:
            return None
        return choose(self.ranked, metric=self.metric, seed=self.seed)

    @cached_property
    def text(self) -> str:
        """One line: who won and by how much, or what is still open."""
        step = self.offer.step
        if self.pending:
            finished = sum(trial is not None for trial in self.trials)
            return f"{self.offer.note()}; {finished} of {len(self.trials)} finished"
        failures = [
            f"{label(candidate)}: {trial.reason or trial.state}"
            for candidate, trial in zip(self.offer.candidates, self.trials, strict=True)
            if trial is not None and trial.state != "complete"
        ]
        failed = "; ".join(failures)
        if self.choice is None:
            return f"no network of step {step} was trained ({failed})"
        parts = [f"step {step}: {self.choice.text}"]
        if self.before and self._gain(self.before) > self._gain(self.choice.best):
            parts.append(f"worse than the step before ({estimate(self.before).text(self.metric)})")
        return "; ".join([*parts, f"failed: {failed}"] if failed else parts)

    def _gain(self, trial: Trial) -> float:
        return estimate(trial).gain(self.metric)


def closeness(candidate: Candidate) -> float | None:
    """A candidate's cost / the cost that its step aimed at."""
    return candidate.macs / candidate.target if candidate.target else None


@dataclass(frozen=True)
class Expansion:
    """The strategy: forward expansion of a family's base until the budget in MACs is used.

    `schedule` "fit" aims the last step at what the budget leaves; "paper" doubles past the budget
    and contracts the last axis backward to lie under it. `ratio` is the growth of a step. `axes`
    restricts the family's axes, `start` replaces its base.
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
    solver: Solver = solve

    def __post_init__(self) -> None:
        for key, value, legal in (
            ("schedule", self.schedule, get_args(Schedule)),
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
        self._base()  # refuses a budget below it

    def ask(self, history: Sequence[Trial]) -> Ask:
        """The candidates of the first step that `history` leaves open, or Done with the reason."""
        return self._walk(history)[1]

    def steps(self, history: Sequence[Trial]) -> tuple[StepSummary, ...]:
        """Every step that `history` has reached, the open one included."""
        return self._walk(history)[0]

    def result(self, history: Sequence[Trial]) -> Trial | None:
        """The best trained network within the budget; of equal estimates the cheaper.

        A baseline counts only where a step offers the same network.
        """
        inside = [
            trial
            for trial in history
            if trial.state == "complete" and trial.candidate.macs <= self.budget
        ]
        if any(trial.candidate.role == BASELINE for trial in inside):
            steps = self.steps(history)
            offered = {c.digest for step in steps for c in step.offer.candidates}
            inside = [
                trial
                for trial in inside
                if trial.candidate.role != BASELINE or trial.candidate.digest in offered
            ]
        return rank(inside, self.metric)[0] if inside else None

    def plan_ahead(self) -> tuple[Offer, ...]:
        """The steps to expect before anything is trained: which networks, and what they cost.

        Which axis will win is unknown, so the axes are assumed to take turns; the number of
        candidates and their costs depend little on it.
        """
        offers: list[Offer] = []
        turns: dict[str, int] = {}
        offer = self._offer(0, None)
        while isinstance(offer, Offer):
            offers.append(offer)
            winner = min(offer.candidates, key=lambda c: turns.get(c.axis or "", 0))
            for axis in axes_of(winner):
                turns[axis] = turns.get(axis, 0) + 1
            offer = self._offer(offer.step + 1, winner)
        return tuple(offers)

    def limits_text(self) -> str:
        """One line: where the data ends."""
        frames, stride = self.limits.first_clip
        return (
            f"crops up to {self.limits.crop} pixels, clips up to {self.limits.duration} frames, "
            f"first clip {frames} x {stride}, "
            f"costs up to {format_macs(self.budget)}"
        )

    @property
    def _family(self) -> Family:
        return get_family(self.family)

    def _walk(self, history: Sequence[Trial]) -> tuple[tuple[StepSummary, ...], Ask]:
        known = answers(history)
        steps: list[StepSummary] = []
        before: Trial | None = None
        offer = self._offer(0, None)
        while isinstance(offer, Offer):
            step = self._summary(offer, known, before)
            steps.append(step)
            if step.pending:
                return tuple(steps), Batch(offer.candidates, offer.note())
            if not step.ranked:
                return tuple(steps), Done(step.text)
            before = step.ranked[0]
            offer = self._offer(offer.step + 1, step.winner)
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
        return StepSummary(offer, trials, ranked, before, self.metric, self.seed)

    def _offer(self, step: int, current: Candidate | None) -> Offer | Done:
        """What a step offers after `current` has won the step before."""
        if current is None:
            return Offer(step, self._base().macs, (self._base(),))
        if current.role == "contract":
            return Done("the last expansion is contracted to lie under the budget")
        if current.macs > self.budget:
            return self._contraction(step, current)
        if current.macs * LEAST_GROWTH > self.budget:
            return Done(f"{format_macs(current.macs)} is within 5% of the budget")
        return self._expansion(step, current)

    def _base(self) -> Candidate:
        genotype = self.start or self._family.base
        return base_candidate(genotype, num_classes=self.num_classes, budget=self.budget)

    def _expansion(self, step: int, current: Candidate) -> Offer | Done:
        target = round(self.ratio * current.macs)
        ceiling = None
        if self.schedule == "fit":
            target, ceiling = min(target, self.budget), self.budget
        candidates: dict[str, Candidate] = {}
        exhausted = []
        for axis in self.axes or self._family.axes:
            found = self.solver(
                self._family,
                axis,
                current.genotype,
                target=target,
                ceiling=ceiling,
                limits=self.limits,
                num_classes=self.num_classes,
            )
            if isinstance(found, Exhausted):
                exhausted.append((axis, found.reason))
            elif (same := candidates.get(found.plan.digest)) is not None:
                candidates[same.digest] = replace(same, merged=(*same.merged, axis))
            else:
                candidates[found.plan.digest] = _candidate(found, step, axis, target, "expand")
        if not candidates:
            reasons = "; ".join(f"{axis}: {reason}" for axis, reason in exhausted)
            return Done(f"no axis can grow by 5% within the budget ({reasons})")
        return Offer(step, target, tuple(candidates.values()), tuple(exhausted))

    def _contraction(self, step: int, current: Candidate) -> Offer | Done:
        assert current.axis is not None, "only an expansion can overshoot"
        found = contract(
            self._family,
            current.axis,
            current.genotype,
            budget=self.budget,
            num_classes=self.num_classes,
        )
        if found is None:
            return Done(f"{current.axis} cannot be contracted to lie under the budget")
        contracted = _candidate(found, step, current.axis, self.budget, "contract")
        return Offer(step, self.budget, (contracted,))


def _candidate(found: Solution, step: int, axis: str, target: int, role: str) -> Candidate:
    return Candidate(
        found.genotype,
        found.plan.to_json(),
        found.plan.digest,
        found.macs,
        step,
        axis,
        role=role,
        target=target,
    )
