"""Several studies side by side: what each reached, and for how much training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from expand3d.core.errors import ConfigError, StudyError
from expand3d.core.trial import Trial
from expand3d.report.compare.comparable import config_of, refuse_different, trained_unlike
from expand3d.report.frontier import Point, frontier, hypervolume
from expand3d.report.study.spent import Spent, spent
from expand3d.report.study.view import StudyView
from expand3d.search.statistics import Resolution, resolvable_difference
from expand3d.study.config import StudyConfig

#: Keys that make one strategy another variant of itself.
VARIANTS = ("growth", "beam", "schedule", "ratio", "batch", "first_clip", "start")


class Reached(NamedTuple):
    """A study after `trial`: multiply-adds of all trainings until then, and its hypervolume."""

    trial: int
    training_macs: int
    hypervolume: float


@dataclass(frozen=True)
class ComparedStudy:
    """One of the studies, measured against a `reference` that all share.

    Only what its strategy asked for counts, in cost and in hypervolume: published networks that
    were trained beside it, and the winner's last training, do not.
    """

    view: StudyView
    reference: Point

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def strategy(self) -> str:
        """The strategy that proposed, with its variants, such as 'expand (growth both, beam 3)'."""
        return strategy_text(config_of(self.view))

    @cached_property
    def scored(self) -> tuple[Trial, ...]:
        """The trials that have a score, in order of number."""
        return tuple(trial for trial in self.view.asked if trial.number in self.view.scores)

    @cached_property
    def frontier(self) -> tuple[Trial, ...]:
        """The scored trials that no other dominates in top-1 and cost, cheapest first."""
        return tuple(self.scored[i] for i in frontier([self._point(t) for t in self.scored]))

    def _point(self, trial: Trial) -> Point:
        return Point(self.view.scores[trial.number].top1, trial.candidate.cost)

    @cached_property
    def curve(self) -> tuple[Reached, ...]:
        """The study's state after each trial, in order of number.

        A trial adds what its trainings cost (see Spent: one that ended with its process left no
        count) and, once it is complete, its point. Nothing was reached before the first.
        """
        macs, area = 0, 0.0
        kept: list[Point] = []
        reached = []
        for trial in self.view.asked:
            macs += spent([trial]).training_macs
            if trial.number in self.view.scores:
                points = [*kept, self._point(trial)]
                kept = [points[place] for place in frontier(points)]
                area = hypervolume(kept, self.reference)
            reached.append(Reached(trial.number, macs, area))
        return tuple(reached)

    @property
    def end(self) -> Reached:
        """The study's state now."""
        return self.curve[-1]

    def hypervolume_at(self, training_macs: int) -> float:
        """The hypervolume of the trials that were paid for with `training_macs` or less."""
        return max(
            (step.hypervolume for step in self.curve if step.training_macs <= training_macs),
            default=0.0,
        )

    @cached_property
    def spent(self) -> Spent:
        """The sums over all trainings that count."""
        return spent(self.view.asked)

    @property
    def uncounted(self) -> int:
        """Networks that failed in a training that left no count of what it had taken."""
        return sum(
            trial.state == "failed" and all(run.status == "ok" for run in trial.trainings.values())
            for trial in self.view.asked
        )


@dataclass(frozen=True)
class StudyComparison:
    """The studies in the order in which they were named; `unlike` says how their trainings differ.

    All hypervolumes reach up to chance and twice the largest of the budgets.
    """

    studies: tuple[ComparedStudy, ...]
    unlike: str | None

    @property
    def first(self) -> StudyView:
        """One of the studies, for what they all have in common."""
        return self.studies[0].view

    @property
    def reference(self) -> Point:
        """Chance, and twice the largest budget in what it counts."""
        return self.studies[0].reference

    @property
    def equal_training(self) -> int:
        """Multiply-adds of training that every study has spent: the least of their totals."""
        return min(study.end.training_macs for study in self.studies)

    @property
    def clips(self) -> int:
        """Validation clips that every network was scored on."""
        return self.first.scores[self.first.complete[0].number].clips

    @cached_property
    def resolution(self) -> Resolution:
        """The difference in top-1 that these clips can show."""
        scores = self.first.complete[0].scores().values()
        groups = {found[0].group for found in scores} - {None}
        return resolvable_difference(self.clips, groups=len(groups) or None)


def compare_studies(views: Sequence[StudyView]) -> StudyComparison:
    """The studies side by side.

    ConfigError where one is named twice or where two do not compare (see refuse_different),
    StudyError where one has no scored network yet.
    """
    names = [view.name for view in views]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"study {name!r} is named twice; compare different studies")
    for view in views:
        if not any(trial.number in view.scores for trial in view.asked):
            raise StudyError(f"study {view.name!r} has no scored network yet; nothing to compare")
    refuse_different(views)
    reference = Point(views[0].chance, 2 * max(view.budget for view in views))
    studies = tuple(ComparedStudy(view, reference) for view in views)
    return StudyComparison(studies, trained_unlike(views))


def comparison_rows(comparison: StudyComparison) -> list[dict[str, Any]]:
    """One mapping per study in their order; None stands for what there is not.

    `networks` were begun and `scored` have a score; `training_tmacs` are 10^12 multiply-adds,
    `hypervolume` is in accuracy x decades of cost, at the end and at `equal_training_tmacs`. What
    follows `best_trial` is of that trial: `top1` from 0 to 1 on `validation_clips` with its 95%
    interval, the mean class accuracy, `nll` in nats, `macs` multiply-adds of a clip, `cost` in
    `quantity` (bytes of memory, nanoseconds of latency).
    """
    return [_row(study, comparison) for study in comparison.studies]


def _row(study: ComparedStudy, comparison: StudyComparison) -> dict[str, Any]:
    view, best = study.view, study.view.best
    score = view.scores[best.number] if best else None
    low, high = score.top1_ci if score else (None, None)
    return {
        "study": study.name,
        "state": view.state,
        "family": view.family,
        "strategy": study.strategy,
        "seed": config_of(view).seed,
        "quantity": view.quantity.key,
        "budget": view.budget,
        "networks": len(view.asked),
        "scored": len(study.scored),
        "training_tmacs": study.end.training_macs / 1e12,
        "training_seconds": round(study.spent.seconds, 3),
        "hypervolume": study.end.hypervolume,
        "equal_training_tmacs": comparison.equal_training / 1e12,
        "hypervolume_at_equal_training": study.hypervolume_at(comparison.equal_training),
        "best_trial": best.number if best else None,
        "top1": score.top1 if score else None,
        "top1_ci_low": low,
        "top1_ci_high": high,
        "mean_class_accuracy": score.mean_class if score else None,
        "validation_clips": comparison.clips,
        "nll": score.nll if score else None,
        "macs": best.candidate.macs if best else None,
        "cost": best.candidate.cost if best else None,
    }


def curve_rows(comparison: StudyComparison) -> list[dict[str, Any]]:
    """One mapping per study and trial: `training_tmacs` until then, and `hypervolume`."""
    return [
        {
            "study": study.name,
            "trial": step.trial,
            "training_tmacs": step.training_macs / 1e12,
            "hypervolume": step.hypervolume,
        }
        for study in comparison.studies
        for step in study.curve
    ]


def strategy_text(config: StudyConfig) -> str:
    """The strategy and what of it is not the default, such as 'expand (beam 3)' or 'tpe'."""
    defaults = {item.name: item.default for item in dataclasses.fields(config)}
    found = {key: getattr(config, key) for key in VARIANTS}
    told = [f"{key} {_text(value)}" for key, value in found.items() if value != defaults[key]]
    return f"{config.strategy} ({', '.join(told)})" if told else config.strategy


def _text(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
