"""The limits of a study, from its record: clips, their length, the network's size, or the training.

Each answer stands on one measured difference with its interval, and is "cannot tell" where the
interval holds both nothing and something that matters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from expand3d.core.result import Training
from expand3d.core.trial import Candidate, Trial
from expand3d.report.study.view import StudyView
from expand3d.search.statistics import Comparison, Metric, compare, label, spread

Verdict = Literal["yes", "no", "cannot tell"]

#: A lead that is worth having, by what it is measured in: 2 points, or as many hundredths of a nat
#: as they are worth at even odds.
MATTERS: dict[Metric, float] = {"top1": 0.02, "mean_class": 0.02, "nll": 0.04}
#: A network knows its training clips by heart where they are so much more often right than others.
GAP = 0.10
#: Training clips right, below which a network has not learned what it was shown; and above which it
#: has.
UNLEARNED, LEARNED = 0.80, 0.95


LONGER, LARGER = "longer clips", "a larger network"


@dataclass(frozen=True)
class Answer:
    """One answer: would more of `what` help? `difference` has its interval, in `unit`.

    The difference is what was measured; None where nothing was.
    """

    what: str
    verdict: Verdict
    sentence: str
    difference: float | None = None
    ci95: tuple[float, float] | None = None
    unit: str = "points"

    def to_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "would_help": self.verdict,
            "difference": self.difference,
            "ci95": list(self.ci95) if self.ci95 else None,
            "unit": self.unit,
            "sentence": self.sentence,
        }


def advise(view: StudyView) -> tuple[Answer, ...]:
    """Answers for more clips, longer clips, a larger network and longer training, in this order.

    All are "cannot tell" before a network has a score.
    """
    fit = _fit(view)
    grown = _grown(view, LONGER), _grown(view, LARGER)
    return (
        _learned(view) or _more_clips(fit),
        *grown,
        _longer_training(fit, [answer.what for answer in grown if answer.verdict == "yes"]),
    )


def headline(answers: tuple[Answer, ...]) -> str:
    """One line: what limits the study."""
    helps = [answer.what for answer in answers if answer.verdict == "yes"]
    if helps:
        return f"what limits you: {' and '.join(helps)} would help"
    if all(answer.verdict == "no" for answer in answers):
        return "what limits you: none of clips, length, size and training, as far as this goes"
    return "what limits you: cannot tell"


# Training against validation


@dataclass(frozen=True)
class _Fit:
    """Accuracy (0 to 1) of training clips in the last epoch, and of held-out clips; 95% of each."""

    trained: float
    trained_ci95: tuple[float, float]
    held_out: float
    held_out_ci95: tuple[float, float]

    @property
    def gap(self) -> float:
        return self.trained - self.held_out

    @property
    def gap_ci95(self) -> tuple[float, float]:
        """Training and held-out clips are drawn apart: their variances add."""
        below = math.hypot(
            self.trained - self.trained_ci95[0], self.held_out_ci95[1] - self.held_out
        )
        above = math.hypot(
            self.trained_ci95[1] - self.trained, self.held_out - self.held_out_ci95[0]
        )
        return self.gap - below, self.gap + above


def _fit(view: StudyView) -> _Fit | str:
    """The winner's accuracy on its training clips and on others; or why that cannot be told."""
    if view.best is None or view.best.means is None:
        return "no network has a score yet"
    held_out = spread(view.best, seed=0)
    if held_out is None:
        return "too few clips choose for an interval"
    rows = [_last_epoch(run) for run in view.best.furthest.values() if run.curve]
    if not rows:
        return "the record has no accuracy of training clips"
    clips = sum(count for _, count in rows)
    right = sum(accuracy * count for accuracy, count in rows)
    return _Fit(right / clips, _wilson(right, clips), view.best.means.top1, held_out)


def _last_epoch(run: Training) -> tuple[float, float]:
    """Accuracy of the last epoch's training clips, and how many they were."""
    row = run.curve[-1]
    return float(row["accuracy"]), max(1.0, run.clip_visits / max(1, len(run.curve)))


def _wilson(right: float, clips: float) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927)."""
    z = 1.96
    share, extra = right / clips, z * z / clips
    middle = (share + extra / 2) / (1 + extra)
    half = z / (1 + extra) * math.sqrt(share * (1 - share) / clips + extra / (4 * clips))
    return max(0.0, middle - half), min(1.0, middle + half)


def _learned(view: StudyView) -> Answer | None:
    """The answer about clips of a learning curve: what the last half of them was worth."""
    if len(view.learning) < 2:
        return None
    *_, (few, half), (many, whole) = view.learning.items()
    lead = compare(whole, half, metric=view.metric, seed=0)
    shown = ", ".join(
        f"{count} clips {trial.means.top1:.0%}"
        for count, trial in view.learning.items()
        if trial.means
    )
    what, curve = "more clips", f"trained on {shown}"
    if lead.ci95 is None:
        why = f"{lead.units} choose, too few for an interval"
        return Answer(what, "cannot tell", f"{what}: cannot tell, {why}: {curve}", lead.difference)
    verdict = _verdict(lead, view.metric)
    means = {"yes": "would help", "no": "would not help", "cannot tell": "cannot tell"}[verdict]
    gained = f"{many} clips rather than {few} gained {_lead(lead, view.metric)}"
    unit = "nats" if view.metric == "nll" else "points"
    return Answer(
        what, verdict, f"{what}: {means}, {gained}: {curve}", lead.difference, lead.ci95, unit
    )


def _verdict(lead: Comparison, metric: Metric) -> Verdict:
    """The verdict that a lead with an interval gives."""
    assert lead.ci95 is not None
    low, high = lead.ci95
    return "yes" if low > 0 else "no" if high < MATTERS[metric] else "cannot tell"


def _more_clips(fit: _Fit | str) -> Answer:
    what = "more clips"
    if isinstance(fit, str):
        return Answer(what, "cannot tell", f"{what}: cannot tell, {fit}")
    low, high = fit.gap_ci95
    measured = (
        f"{fit.trained:.0%} of training clips are right and {fit.held_out:.0%} of held-out ones, a "
        f"gap of {_points(fit.gap)} points (95% {_points(low)} to {_points(high)})"
    )
    verdict: Verdict = "yes" if low > GAP else "no" if high < GAP else "cannot tell"
    means = {
        "yes": "would help, the network knows its own by heart",
        "no": "would help little, the network does as well on clips that it has not seen",
        "cannot tell": f"cannot tell, a gap of {GAP:.0%} is neither sure nor ruled out",
    }[verdict]
    return Answer(what, verdict, f"{what}: {means}: {measured}", fit.gap, (low, high))


def _longer_training(fit: _Fit | str, others: list[str]) -> Answer:
    """`others` are what would help as well: they explain clips that are not learned."""
    what = "longer training"
    if isinstance(fit, str):
        return Answer(what, "cannot tell", f"{what}: cannot tell, {fit}")
    (low, high), (_, widest) = fit.trained_ci95, fit.gap_ci95
    measured = f"{fit.trained:.0%} of training clips are right (95% {low:.0%} to {high:.0%})"
    verdict: Verdict
    if high < UNLEARNED and widest < GAP and not others:
        verdict, means = "yes", "would help, the network has not learned what it was shown"
    elif low > LEARNED:
        verdict, means = "no", "would not help, the network has learned what it was shown"
    else:
        verdict = "cannot tell"
        means = f"cannot tell, {_why_open(high, widest, others)}"
    return Answer(what, verdict, f"{what}: {means}: {measured}", fit.trained, (low, high))


def _why_open(trained: float, gap: float, others: list[str]) -> str:
    if others and trained < UNLEARNED:
        return f"{' and '.join(others)} may be what it needs to learn what it is shown"
    if trained < UNLEARNED and gap >= GAP:
        return "what it learns does not carry over, and it has not learned all"
    return f"it has learned some, neither below {UNLEARNED:.0%} nor above {LEARNED:.0%} for sure"


# Networks against those that they grew from


def _grown(view: StudyView, what: str) -> Answer:
    """The gain of the last networks that have more of it over those that they grew from."""
    tried = [(c, trial, parent) for c, trial, parent in _steps_of(view) if _grew(c, parent) == what]
    ended = _exhausted(view, what)
    if not tried:
        return Answer(what, "cannot tell", f"{what}: cannot tell, no network tried that{ended}")
    last = max(candidate.step or 0 for candidate, *_ in tried)
    found = [
        (compare(trial, parent, metric=view.metric, seed=0), candidate)
        for candidate, trial, parent in tried
        if candidate.step == last
    ]
    # The surest of the step; several are looked at, which the interval does not know.
    lead, candidate = max(found, key=lambda each: (each[0].ci95 or (-math.inf,))[0])
    unit = "nats" if view.metric == "nll" else "points"
    if lead.ci95 is None:
        why = f"{lead.units} choose, too few for an interval"
        return Answer(what, "cannot tell", f"{what}: cannot tell, {why}{ended}", lead.difference)
    verdict = _verdict(lead, view.metric)
    means = {
        "yes": "would help" if not ended else "helped",
        "no": "would not help",
        "cannot tell": "cannot tell",
    }[verdict]
    measured = (
        f"in step {last} {label(candidate)} gained {_lead(lead, view.metric)} on what it grew from"
    )
    return Answer(
        what, verdict, f"{what}: {means}, {measured}{ended}", lead.difference, lead.ci95, unit
    )


def _steps_of(view: StudyView) -> Iterator[tuple[Candidate, Trial, Trial]]:
    """Each candidate of the steps with its own trial and its parent's, where both have scores."""
    for step in view.steps:
        for candidate, trial in zip(step.offer.candidates, step.trials, strict=True):
            parent = view.parent(candidate)
            if trial is None or parent is None or candidate.role == "contract":
                continue
            if {trial.number, parent.number} <= view.scores.keys():
                yield candidate, trial, parent


def _grew(candidate: Candidate, parent: Trial) -> str | None:
    """The one thing that the network has more of than the one it grew from; None for others."""
    now, before = candidate.plan, parent.candidate.plan
    if now.crop != before.crop:
        return None
    if (now.frames, now.stride) == (before.frames, before.stride):
        return LARGER
    return LONGER if now.duration > before.duration else None


def _exhausted(view: StudyView, what: str) -> str:
    """The reason why the last step offered no longer clip; empty where it did, or for others."""
    if what != LONGER or not view.steps:
        return ""
    names = {c.axis for c, _, parent in _steps_of(view) if _grew(c, parent) == what}
    reasons = [reason for axis, reason in view.steps[-1].offer.exhausted if axis in names]
    return f"; the last step could not: {reasons[0]}" if reasons else ""


def _lead(lead: Comparison, metric: Metric) -> str:
    scale, digits, unit = (1, 3, "nats") if metric == "nll" else (100, 1, "points")
    assert lead.ci95 is not None
    low, high = (f"{scale * bound:.{digits}f}" for bound in lead.ci95)
    return f"{scale * lead.difference:.{digits}f} {unit} (95% {low} to {high})"


def _points(share: float) -> str:
    return f"{100 * share:.0f}"
