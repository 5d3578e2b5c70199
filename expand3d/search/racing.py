"""A race: those of some candidates that are so much worse after a part of a training that they end.

Every candidate is held against the leader on the clips that all have seen, in pairs. What decides
is the difference over its uncertainty: of the clips, whose groups stand or fall together, and of
the seeds, since another seed would have given each network another score.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

#: The chance at which one candidate that is as good as the best may be dropped, over a whole race.
#: The bound is nearly reached, and a chance below 5% is promised.
ERROR = 0.04


def losers(
    losses: NDArray[np.float64],
    groups: NDArray[np.int64],
    *,
    spread: float,
    looks: int,
    field: int,
    weights: NDArray[np.float64] | None = None,
    freedom: float = math.inf,
    error: float = ERROR,
) -> tuple[int, ...]:
    """Rows of `losses` (networks x clips, nats) that are worse than the leader's, surely enough.

    `spread` is the standard deviation of a network's mean loss between seeds, after so many visits,
    and `freedom` the degrees of freedom of that estimate: one less than the seeds that gave it.
    Each part of the uncertainty counts by its own quantile, since few seeds give a guess.
    `looks` counts the times at which a race is looked at, `field` the candidates that it began
    with: the error is shared out among all their comparisons (Bonferroni), so that over the whole
    race it holds for each candidate. `weights` count how often each clip is drawn. Nobody loses
    from fewer than two groups.
    """
    counts = np.ones(losses.shape[1]) if weights is None else weights
    sizes = np.bincount(groups, counts)
    drawn = sizes > 0
    if len(losses) < 2 or drawn.sum() < 2:
        return ()
    means = losses @ counts / counts.sum()
    leader = int(np.argmin(means))
    level = 1 - error / (looks * max(1, field - 1))
    found = []
    for place, loss in enumerate(losses):
        if place == leader:
            continue
        lead = float(means[place] - means[leader])
        sums = np.bincount(groups, counts * (loss - losses[leader]))
        rest = (sums - lead * sizes)[drawn]
        share = len(rest) / (len(rest) - 1)
        error_of_clips = math.sqrt(share * float(np.square(rest).sum())) / counts.sum()
        of_clips = _quantile(level, len(rest) - 1) * error_of_clips
        of_seeds = _quantile(level, min(len(rest) - 1, freedom)) * math.sqrt(2) * spread
        if lead > math.hypot(of_clips, of_seeds):
            found.append(place)
    return tuple(found)


@cache
def _quantile(probability: float, freedom: float) -> float:
    from scipy.stats import t

    return float(t.ppf(probability, freedom))
