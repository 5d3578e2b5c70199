"""Scores of single clips, and what they add up to with how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expand3d.train.scores import ClipScore, Means

#: The standard normal's 97.5% point, for two-sided 95% intervals.
Z95 = 1.959963984540054
#: The least probability of the true class that a log-loss is taken of.
LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Summary:
    """Accuracies as fractions, mean log-loss in nats, over `clips` different clips."""

    top1: float
    top5: float
    nll: float
    top1_ci: tuple[float, float]
    clips: int


def clip_score(
    probabilities: NDArray[np.floating], *, key: str, label: int, group: str | None = None
) -> ClipScore:
    """The score of one clip from its class probabilities; ties count against the true class."""
    true = probabilities[label]
    rank = int((probabilities >= true).sum()) - 1
    nll = -math.log(max(float(true), LEAST_PROBABILITY))
    return ClipScore(key=key, label=label, rank=rank, nll=nll, group=group)


def wilson(hits: float, trials: int) -> tuple[float, float]:
    """The 95% interval of a fraction, by Wilson's score (JASA 22, 1927)."""
    share, z2 = hits / trials, Z95**2 / trials
    centre = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(share * (1 - share) * z2 + z2**2 / 4) / (1 + z2)
    return max(0.0, centre - half), min(1.0, centre + half)


def summary(means: Means) -> Summary:
    """The means with the 95% interval of top-1.

    Repeats on the same clips are not new clips: the interval is that of the pooled top-1 over as
    many clips as there are.
    """
    return Summary(
        means.top1,
        means.top5,
        means.nll,
        wilson(means.top1 * means.clips, means.clips),
        means.clips,
    )
