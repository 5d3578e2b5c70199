"""The targets of an expansion's steps: the start's cost x ratio, x ratio^2, ..., the budget.

A fixed row of targets rather than a growth of each winner. An axis at the end of the data wins
with less than a whole step; if the next step grew from its cost, it would train a whole round of
networks to make up for that, near the budget where trainings are longest.
"""

from __future__ import annotations

import math

from expand3d.search.expansion.solve import LEAST_GROWTH

#: The least share of a step, of its logarithm, that is worth a round of trainings: 19% at a ratio
#: of 2. A last step of 26% made the bundled data's winner clearly better (results/quickstart), so
#: half a step would be too much to ask for; a few percent are within what rounding gives and takes.
LEAST_SHARE = 0.25


def next_target(cost: int, aimed: int, *, start: int, ratio: float, budget: int) -> int:
    """The cost that the step aims at after a network of `cost`, whose own step `aimed` at one.

    It is the first of the row that lies above both by a part of a step that is worth it. So a
    network that fell short catches up, one that is far beyond its target passes over the next, and
    a budget just above a target takes its place. `aimed` is 0 after the start, whose cost is
    `start`; all are in the quantity of the budget. The row does not depend on the budget, so that
    a larger one changes only the steps that the smaller one has cut.
    """
    least = _least(ratio)
    above = max(aimed * ratio**LEAST_SHARE, cost * least)
    target = float(start)
    while target < above:
        target *= ratio
    return budget if target * least > budget else math.ceil(target)


def worth_a_step(cost: int, aimed: int, *, ratio: float, budget: int) -> bool:
    """True where the budget leaves a network of `cost` enough for another step.

    5% are enough, but not where its own step `aimed` at the budget: it has then got what the
    rounding of its axis allows, and a second round of trainings there has to promise more.
    """
    return cost * (_least(ratio) if aimed == budget else LEAST_GROWTH) <= budget


def _least(ratio: float) -> float:
    """Growth of the smallest step that is worth it, and never less than an axis has to add."""
    return max(LEAST_GROWTH, float(ratio**LEAST_SHARE))
