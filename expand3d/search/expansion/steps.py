"""A step of the expansion: what it offers, and what the record makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from expand3d.core.quantity import MACS, Quantity
from expand3d.core.trial import BASELINE, Candidate, State, Trial
from expand3d.search.expansion.compound import descendant
from expand3d.search.expansion.seeds import of_seeds
from expand3d.search.expansion.solve import Exhausted, Solution
from expand3d.search.race_price import of_whole, price_text, taken
from expand3d.search.statistics import Choice, Metric, axes_of, choose, estimate, label


@dataclass(frozen=True)
class Offer:
    """The candidates of one step, and why the axes that are missing offer nothing."""

    step: int
    target: int
    candidates: tuple[Candidate, ...]
    exhausted: tuple[tuple[str, str], ...] = ()
    quantity: Quantity = MACS

    def note(self) -> str:
        """One line: how many networks of about which cost, and which axes are at their end."""
        count = len(self.candidates)
        networks = "network" if count == 1 else "networks"
        near = f"step {self.step}: {count} {networks} near {self.quantity.text(self.target)}"
        return "; ".join([near, *(f"{axis}: {reason}" for axis, reason in self.exhausted)])


@dataclass(frozen=True)
class StepSummary:
    """One step as the record has it: its offer, the trials that answer it, and the choice.

    `trials` follows the offer's candidates, None where one is not finished. `ranked` holds those
    that were trained, best first, once every candidate is finished. `before` is the winner of the
    step before, `beam` how many networks of the step are kept. The statistics are computed when
    they are first read.
    """

    offer: Offer
    trials: tuple[Trial | None, ...]
    ranked: tuple[Trial, ...]
    before: Trial | None
    metric: Metric
    seed: int
    beam: int = 1
    #: The first so many of `ranked`, which were close, have up to `seeds` seeds each.
    close: int = 0
    seeds: int = 1
    #: Seeds of every network, where close ones may have more.
    repeats: int | None = None
    #: True where close networks are still to be trained with further seeds.
    unsettled: bool = False

    @property
    def pending(self) -> bool:
        """True where a candidate is still to be trained."""
        return None in self.trials or self.unsettled

    def settled(self, close: Sequence[Candidate], seeds: int, done: bool) -> StepSummary:
        """The step where the means over up to so many seeds order the `close` ones, once `done`."""
        if not done:
            return replace(self, ranked=(), unsettled=True)
        first = {candidate.digest for candidate in close}
        ranked = sorted(self.ranked, key=lambda trial: trial.candidate.digest not in first)
        return replace(self, ranked=tuple(ranked), close=len(first), seeds=seeds)

    @property
    def winner(self) -> Candidate | None:
        """The best candidate; None while the step is open, or where all failed."""
        return self.ranked[0].candidate if self.ranked else None

    @property
    def kept(self) -> tuple[Candidate, ...]:
        """The candidates that are expanded next, best first: the winner, and more in a beam."""
        return tuple(trial.candidate for trial in self.ranked[: self.beam])

    @cached_property
    def choice(self) -> Choice | None:
        """The winner against the others, and how sure that is."""
        if not self.ranked:
            return None
        best = self.ranked[: self.close or None]
        return choose(best, metric=self.metric, seed=self.seed, raced=bool(self.stopped))

    @property
    def stopped(self) -> tuple[str, ...]:
        """One text per network that was trained in part, since another was surely better."""
        return self._ended("stopped")

    @property
    def spent(self) -> int:
        """Multiply-adds of all trainings and tests of the step, so far."""
        return taken(trial for trial in self.trials if trial is not None)

    @cached_property
    def whole(self) -> int | None:
        """Multiply-adds that whole trainings of all candidates take; None before one has ended."""
        if not self.ranked:
            return None
        ended = self.ranked[0]
        if self.repeats is not None:
            ended = of_seeds(ended, self.repeats)
        return of_whole(ended, self.offer.candidates)

    @property
    def price_text(self) -> str:
        """The price of a race beside that of whole trainings; empty where nothing was stopped."""
        if not self.stopped or self.whole is None:
            return ""
        return price_text(self.spent, self.whole)

    def _ended(self, state: State) -> tuple[str, ...]:
        return tuple(
            f"{label(candidate)}: {trial.why}"
            for candidate, trial in zip(self.offer.candidates, self.trials, strict=True)
            if trial is not None and trial.state == state
        )

    @cached_property
    def text(self) -> str:
        """One line: who won and by how much, or what is still open."""
        step = self.offer.step
        if self.pending:
            finished = sum(trial is not None for trial in self.trials)
            more = "; the best are close and get further seeds" if self.unsettled else ""
            return f"{self.offer.note()}; {finished} of {len(self.trials)} finished{more}"
        failed = "; ".join(self._ended("failed"))
        if self.choice is None:
            return f"no network of step {step} was trained ({failed})"
        parts = [f"step {step}: {self.choice.text}"]
        if self.before and self._gain(self.before) > self._gain(self.choice.best):
            parts.append(f"worse than the step before ({estimate(self.before).text(self.metric)})")
        if self.close:
            networks = ", ".join(label(trial.candidate) for trial in self.ranked[: self.close])
            parts.append(f"{networks} were close: compared by means of up to {self.seeds} seeds")
        if len(self.kept) > 1:
            parts.append(f"kept beside it: {', '.join(map(label, self.kept[1:]))}")
        parts += self.stopped
        return "; ".join([*parts, f"failed: {failed}"] if failed else parts)

    def _gain(self, trial: Trial) -> float:
        return estimate(trial).gain(self.metric)


def lineage(steps: Sequence[StepSummary]) -> tuple[Trial, ...]:
    """The winner of the last finished step and the networks that it grew from, the base first.

    Without a beam these are the winners of all steps.
    """
    found: list[Trial] = []
    for step in reversed([step for step in steps if step.ranked]):
        parent = found[-1].candidate.parent if found else None
        found.append(next((t for t in step.ranked if t.candidate.digest == parent), step.ranked[0]))
    return tuple(reversed(found))


def united(step: int, target: int, offers: Sequence[tuple[str, Offer]]) -> Offer:
    """The offers of several kept networks, by name, as one."""
    candidates: dict[str, Candidate] = {}
    exhausted = []
    for name, offer in offers:
        for candidate in offer.candidates:
            candidates.setdefault(candidate.plan.digest, descendant(candidate, name))
        exhausted += [(f"{axis} after {name}", reason) for axis, reason in offer.exhausted]
    if all(candidate.role == "contract" for candidate in candidates.values()):
        target = offers[0][1].target
    return Offer(step, target, tuple(candidates.values()), tuple(exhausted))


def gathered(
    step: int,
    target: int,
    found: Iterable[tuple[str, Solution | Exhausted]],
    made: Callable[[str, Solution], Candidate],
) -> Offer:
    """The offer of all that was found; equal networks of several axes are one candidate."""
    candidates: dict[str, Candidate] = {}
    exhausted = []
    for axis, each in found:
        if isinstance(each, Exhausted):
            exhausted.append((axis, each.reason))
        else:
            new = made(axis, each)
            same = candidates.get(new.digest)
            candidates[new.digest] = (
                new if same is None else replace(same, merged=(*same.merged, *axes_of(new)))
            )
    return Offer(step, target, tuple(candidates.values()), tuple(exhausted))


def eligible(trials: Sequence[Trial], steps: Sequence[StepSummary]) -> list[Trial]:
    """The trials that may be the result.

    Baselines are not that no step offers, nor networks that close ones with more seeds have beaten
    in each of their steps.
    """
    offered = {c.digest for step in steps for c in step.offer.candidates}
    beaten = {t.candidate.digest for step in steps if step.close for t in step.ranked[1:]}
    beaten -= {step.winner.digest for step in steps if step.winner}
    return [
        trial
        for trial in trials
        if trial.candidate.digest not in beaten
        and (trial.candidate.role != BASELINE or trial.candidate.digest in offered)
    ]
