"""The choice of the better network, and its certainty: paired statistics on shared clips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expand3d.core.classes import mean_class_accuracy
from expand3d.core.trial import Candidate, Trial
from expand3d.cost.price import cost_text

Metric = Literal["top1", "mean_class", "nll"]

#: Fewer validation clips than this are too coarse for top-1, so log-loss decides.
FEW_CLIPS = 1_000
#: Clips of one scene or person stand or fall together, so that groups are resampled. From fewer
#: groups, or clips without a group, than this no interval is given.
MIN_UNITS = 10
RESAMPLES = 2_000
#: The metrics as sentences name them.
NAMES: Mapping[Metric, str] = {
    "top1": "top-1",
    "mean_class": "mean class accuracy",
    "nll": "log-loss",
}
#: What an interval and a share of resamples speak of: clips are drawn again, trainings are not.
SCOPE = "these trainings, not other seeds"
#: Means that differ by less are the same number, computed in another order.
_SAME = 1e-12
#: Two-sided 5% and 80% power, in standard errors: 1.960 + 0.842.
_POWER = 2.802
#: Share of clips that exactly one of two networks gets right; assumed before anything is trained.
_DISAGREE = 0.3


@dataclass(frozen=True)
class Estimate:
    """Top-1, mean class accuracy (0 to 1) and log-loss (nats) over `clips` held-out clips."""

    top1: float
    nll: float
    clips: int
    mean_class: float

    def gain(self, metric: Metric) -> float:
        """The metric with its sign turned so that more is better."""
        return {"top1": self.top1, "mean_class": self.mean_class, "nll": -self.nll}[metric]

    def text(self, metric: Metric) -> str:
        """The metric with its name, as a sentence has it."""
        if metric == "nll":
            return f"log-loss {self.nll:.3f}"
        return f"{NAMES[metric]} {self.gain(metric):.1%}"


@dataclass(frozen=True)
class Comparison:
    """The lead of one network over another: an accuracy (0 to 1), or nats of log-loss less.

    `ci95` is the percentile interval and `p_better` the share of paired resamples in which the
    first is better, ties counted half; None from fewer than MIN_UNITS. `units` says what was
    resampled ("24 clips"). Both are of these trainings: other seeds vary besides.
    """

    difference: float
    ci95: tuple[float, float] | None
    p_better: float | None
    units: str

    @property
    def resolved(self) -> bool:
        """True where the interval holds no difference of 0."""
        return self.ci95 is not None and not self.ci95[0] <= 0 <= self.ci95[1]

    def to_json(self) -> dict[str, Any]:
        return {
            "difference": self.difference,
            "ci95": list(self.ci95) if self.ci95 else None,
            "p_better": self.p_better,
            "units": self.units,
            "resolved": self.resolved,
            "scope": SCOPE,
        }


@dataclass(frozen=True)
class Choice:
    """The best of several trials; `sure` is the share of resamples in which it is the best.

    `sure` is None where there are too few clips or groups to resample.
    """

    best: Trial
    runner_up: Trial | None
    comparison: Comparison | None
    sure: float | None
    text: str

    def to_json(self) -> dict[str, Any]:
        return {
            "best": self.best.number,
            "runner_up": self.runner_up.number if self.runner_up else None,
            "comparison": self.comparison.to_json() if self.comparison else None,
            "sure": self.sure,
            "text": self.text,
        }


@dataclass(frozen=True)
class Resolution:
    """The smallest difference in top-1 (0 to 1) that is likely to be seen, and how to see less."""

    top1: float
    text: str


def default_metric(clips: int) -> Metric:
    """'nll' below 1,000 validation clips, 'top1' (the paper's) from there on."""
    return "nll" if clips < FEW_CLIPS else "top1"


def axes_of(candidate: Candidate) -> tuple[str, ...]:
    """Every axis that led to the candidate; none for the base."""
    return (candidate.axis, *candidate.merged) if candidate.axis else ()


def label(candidate: Candidate) -> str:
    """A candidate's name in a sentence: its axes, its name, or its role."""
    if candidate.axis is None:
        return candidate.label or candidate.role
    axes = " = ".join(axes_of(candidate))
    text = f"{axes} contracted" if candidate.role == "contract" else axes
    return f"{text} {candidate.label}" if candidate.label else text


def standing(candidate: Candidate) -> str:
    """A candidate's place in a study: 'step 3, gamma_w', or 'baseline NAME'."""
    if candidate.step is None:
        return f"{candidate.role} {label(candidate)}"
    return f"step {candidate.step}, {label(candidate)}"


def estimate(trial: Trial) -> Estimate:
    """Mean scores of a trial: repeats are averaged per clip, folds pooled, clips averaged."""
    means = trial.means
    assert means, f"trial {trial.number} has no scores"
    return Estimate(means.top1, means.nll, means.clips, mean_class_accuracy(trial.by_class))


def choose(
    trials: Sequence[Trial],
    *,
    metric: Metric,
    seed: int,
    resamples: int = RESAMPLES,
    raced: bool = False,
) -> Choice:
    """The trial with the best estimate; of equal estimates the cheaper. At least one trial.

    `raced` says that others were stopped on their way, since they were surely worse.
    """
    ranked = rank(trials, metric)
    best = ranked[0]
    lead = f"{label(best.candidate)} ({cost_text(best.candidate)})"
    scored = f"{lead}: {estimate(best).text(metric)}"
    if len(ranked) == 1:
        why = "the others were stopped as worse" if raced else "the only network of its step"
        return Choice(best, None, None, None if raced else 1.0, f"{scored}; {why}")
    paired = _Paired.of(ranked, metric)
    means = paired.resampled_means(seed, resamples) if paired.enough else None
    comparison = paired.compare(0, 1, means)
    versus = _versus(comparison, label(ranked[1].candidate), metric)
    if means is None:
        text = f"{scored}, {versus}; not resolved: {paired.units}, too few to say how sure it is"
        return Choice(best, ranked[1], comparison, None, text)
    top = means >= means.max(axis=1, keepdims=True) - _SAME
    sure = float((top[:, 0] / top.sum(axis=1)).mean())
    unresolved = "" if comparison.resolved else "not resolved: "
    text = (
        f"{scored}, {versus}; {unresolved}best in {sure:.0%} of resamples of {comparison.units} "
        f"({SCOPE})"
    )
    return Choice(best, ranked[1], comparison, sure, text)


def compare(
    a: Trial, b: Trial, *, metric: Metric, seed: int, resamples: int = RESAMPLES
) -> Comparison:
    """The lead of trial `a` over trial `b`, over the clips that both were scored on."""
    paired = _Paired.of([a, b], metric)
    return paired.compare(0, 1, paired.resampled_means(seed, resamples) if paired.enough else None)


def spread(trial: Trial, *, seed: int, resamples: int = RESAMPLES) -> tuple[float, float] | None:
    """The 95% interval of a trial's top-1 (0 to 1) over clips; None from too few of them."""
    alone = _Paired.of([trial], "top1")
    if not alone.enough:
        return None
    low, high = np.percentile(alone.resampled_means(seed, resamples)[:, 0], (2.5, 97.5))
    return float(low), float(high)


def rank(trials: Sequence[Trial], metric: Metric) -> list[Trial]:
    """Trials from best to worst estimate; of equal ones the cheaper first."""

    def place(trial: Trial) -> tuple[float, int, str]:
        gain = round(estimate(trial).gain(metric), 12)
        return (-gain, trial.candidate.cost, trial.candidate.digest)

    return sorted(trials, key=place)


def resolvable_difference(
    clips: int, *, groups: int | None = None, pool: int | None = None
) -> Resolution:
    """The top-1 difference that `clips` validation clips show with 80% power at the 5% level.

    Two networks compared on the same clips (McNemar's normal approximation): 2.80 x
    sqrt(d / clips), where d is the share of clips that only one of them gets right, taken as 30%.
    `groups` counts groups of clips that stand or fall together, `pool` the clips that would be
    scored if training clips took turns (--folds).
    """
    top1 = _resolved(clips)
    units = min(groups, clips) if groups else clips
    few = units < MIN_UNITS and (
        f"{units} {'groups of clips are' if groups else 'validation clips are'} too few for an "
        f"interval ({MIN_UNITS} or more give one): a step takes the best estimate, not resolved"
    )
    parts = [few] if few else []
    parts += [
        f"{clips} validation clips can resolve about {top1 * 100:.0f} points of top-1 "
        f"(2.80 x sqrt({_DISAGREE} / clips): 80% power at 5%, "
        f"networks that disagree on {_DISAGREE:.0%} of clips)"
    ]
    if groups and groups < clips:
        parts.append(
            f"up to {_resolved(groups) * 100:.0f} points where the clips of each of "
            f"the {groups} groups stand or fall together"
        )
    sharper = ["--repeats R averages out the seed, which no interval here speaks of"]
    if pool and pool > clips:
        sharper.insert(0, f"--folds K would score {pool} clips: {_resolved(pool) * 100:.0f} points")
    needed = math.ceil(_DISAGREE * (_POWER / 0.05) ** 2)
    if max(clips, pool or 0) < needed:
        sharper.append(f"5 points need {needed} clips")
    return Resolution(top1, f"{'; '.join(parts)}. Sharper: {'; '.join(sharper)}.")


def _counted(number: int, noun: str) -> str:
    """The number with its noun: '1 clip', '24 clips'."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _resolved(clips: int) -> float:
    return min(1.0, _POWER * math.sqrt(_DISAGREE / clips))


def _versus(comparison: Comparison, other: str, metric: Metric) -> str:
    if abs(comparison.difference) <= _SAME:
        return f"equal to {other}, and no costlier"
    scale, digits, unit = (1, 3, "nats") if metric == "nll" else (100, 1, "points")
    lead = f"{comparison.difference * scale:.{digits}f} {unit} better than {other}"
    if comparison.ci95 is None:
        return lead
    low, high = (f"{scale * bound:.{digits}f}" for bound in comparison.ci95)
    return f"{lead} (95% {low} to {high})"


def per_clip(trial: Trial, metric: Metric) -> dict[str, float]:
    """Each clip's score, more being better, averaged over its repeats."""
    found = {}
    for key, scores in sorted(trial.scores().items()):
        gains = [-score.nll if metric == "nll" else float(score.rank == 0) for score in scores]
        found[key] = fmean(gains)
    assert found, f"trial {trial.number} has no scores"
    return found


@dataclass(frozen=True)
class _Paired:
    """Sums of scores and clips per unit, over the clips that all trials share.

    `sums` are trials x units x strata, `sizes` units x strata. A mean is that of the strata's
    means: the classes for mean class accuracy, all clips as one otherwise.
    """

    sums: NDArray[np.float64]
    sizes: NDArray[np.float64]
    units: str

    @classmethod
    def of(cls, trials: Sequence[Trial], metric: Metric) -> _Paired:
        scores = [per_clip(trial, metric) for trial in trials]
        keys = sorted(set.intersection(*(set(found) for found in scores)))
        assert keys, "the trials share no clip"
        first = {key: found[0] for key, found in trials[0].scores().items()}
        groups = {key: score.group for key, score in first.items()}
        labels = [first[key].label if metric == "mean_class" else 0 for key in keys]
        strata = {label: place for place, label in enumerate(sorted(set(labels)))}
        # A clip without a group stands for itself.
        unit = [(groups[key] or "", "" if groups[key] else key) for key in keys]
        position = {name: place for place, name in enumerate(sorted(set(unit)))}
        places = [position[name] * len(strata) for name in unit]
        cells = np.array([p + strata[label] for p, label in zip(places, labels, strict=True)])

        def summed(weights: list[float] | None) -> NDArray[np.float64]:
            flat = np.bincount(cells, weights, minlength=len(position) * len(strata))
            return flat.reshape(len(position), len(strata)).astype(float)

        return cls(
            np.stack([summed([found[key] for key in keys]) for found in scores]),
            summed(None),
            _counted(len(position), "group" if any(group for group, _ in position) else "clip"),
        )

    @property
    def enough(self) -> bool:
        """True where there are units enough to draw from."""
        return len(self.sizes) >= MIN_UNITS

    def resampled_means(self, seed: int, resamples: int) -> NDArray[np.float64]:
        """Means (resamples x trials) over units drawn with replacement, the same for all trials."""
        rng = np.random.default_rng(seed)
        count = len(self.sizes)
        rows = max(1, 1_000_000 // count)
        means = []
        for start in range(0, resamples, rows):
            drawn = rng.integers(0, count, (min(rows, resamples - start), count))
            # A unit that was drawn twice counts twice.
            times = np.stack([np.bincount(row, minlength=count) for row in drawn])
            means.append(self._means(times.astype(float)))
        return np.concatenate(means)

    def _means(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Means (resamples x trials) where each unit counts so many `times` (resamples x units).

        A class without a clip in a resample has no part in its mean.
        """
        clips = times @ self.sizes
        there = clips > 0
        by_stratum = np.stack([times @ sums for sums in self.sums], axis=1)
        shares = by_stratum / np.where(there, clips, 1)[:, None, :]
        means: NDArray[np.float64] = shares.sum(axis=2) / there.sum(axis=1)[:, None]
        return means

    def compare(self, a: int, b: int, means: NDArray[np.float64] | None) -> Comparison:
        """Trial `a` against trial `b`, from means that were resampled together, if they were."""
        (lead,) = self._means(np.ones((1, len(self.sizes))))
        difference = float(lead[a] - lead[b])
        if means is None:
            return Comparison(difference, None, None, self.units)
        deltas = means[:, a] - means[:, b]
        low, high = np.percentile(deltas, (2.5, 97.5))
        ties = np.abs(deltas) <= _SAME
        return Comparison(
            difference=difference,
            ci95=(float(low), float(high)),
            p_better=float(np.mean((deltas > 0) & ~ties) + np.mean(ties) / 2),
            units=self.units,
        )
