"""Steps confirmed from scratch: the two best networks of each, trained without weights too.

Weights of the parent favour axes that inherit all of them. A pair from scratch shows where that has
decided a step. It decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from expand3d.core.trial import BASELINE, SCRATCH, Candidate, Trial
from expand3d.search.expansion.steps import StepSummary
from expand3d.search.statistics import Metric, compare, estimate, label
from expand3d.search.strategy import answers


@dataclass(frozen=True)
class Pair:
    """The best network of a step and its runner-up, each to be trained from scratch."""

    step: int
    best: Candidate
    runner_up: Candidate

    def alike(self, trials: Sequence[Trial], metric: Metric) -> bool | None:
        """True where the best is no worse from scratch too; None where that is not known."""
        known = answers(trials)
        one, other = (known.get(each.digest) for each in (self.best, self.runner_up))
        if one is None or other is None or one.means is None or other.means is None:
            return None
        return estimate(one).gain(metric) >= estimate(other).gain(metric)

    def resolved(self, trials: Sequence[Trial], metric: Metric) -> bool:
        """True where the order from scratch is sure; both have scores."""
        known = answers(trials)
        one, other = known[self.best.digest], known[self.runner_up.digest]
        return compare(one, other, metric=metric, seed=0).resolved


def pairs(steps: Sequence[StepSummary]) -> tuple[Pair, ...]:
    """A pair for each finished step that had a choice."""
    return tuple(
        Pair(step.offer.step, *(_from_scratch(trial.candidate) for trial in step.ranked[:2]))
        for step in steps
        if len(step.ranked) > 1
    )


def _from_scratch(candidate: Candidate) -> Candidate:
    """The same network of no step and no parent, as one that is trained beside a search."""
    name = f"step {candidate.step}, {label(candidate)}, from scratch"
    beside = {"step": None, "axis": None, "merged": (), "target": None, "parent": None}
    return replace(candidate, **beside, role=BASELINE, start=SCRATCH, label=name)  # type: ignore[arg-type]


def agreement(steps: Sequence[StepSummary], trials: Sequence[Trial], metric: Metric) -> str | None:
    """One line: how often pairs from scratch keep their order; None where none was trained."""
    known = [(pair, pair.alike(trials, metric)) for pair in pairs(steps)]
    told = [(pair, alike) for pair, alike in known if alike is not None]
    if not told:
        return None
    same = sum(bool(alike) for _, alike in told)
    other = ", ".join(str(pair.step) for pair, alike in told if not alike)
    sure = sum(pair.resolved(trials, metric) for pair, _ in told)
    return (
        f"from scratch, {same} of {len(told)} steps choose alike"
        + (f" (not step {other})" if other else "")
        + f"; {sure} of these orders resolved"
    )
