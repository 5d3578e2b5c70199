"""The networks of a table: all that an expansion may come to, and random ones at the budget."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from expand3d.core.genotype import digest
from expand3d.core.trial import Candidate
from expand3d.networks import get_family
from expand3d.search.expansion.compound import Reach
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.samplers.shares import shared, shares_of

#: The role of a random network of a table.
DRAW = "draw"
#: Draws in a row that may give a network that is there already.
ATTEMPTS = 200


def closure(expansion: Expansion) -> tuple[Candidate, ...]:
    """Every network that some run of the expansion trains, whoever wins its steps.

    In the order of their first step, and then of their cost.
    """
    found: dict[str, Candidate] = {}
    waiting, grown = [expansion.base()], set()
    for current in waiting:  # which grows meanwhile
        found.setdefault(current.digest, current)
        # What follows depends on the network and on the target that its step aimed at.
        state = current.digest, current.target
        if state not in grown:
            grown.add(state)
            waiting += expansion.after(current)
    return tuple(sorted(found.values(), key=lambda c: (c.step or 0, c.macs, c.digest)))


def draws(expansion: Expansion, count: int, taken: set[str]) -> Iterator[Candidate]:
    """`count` random networks at the budget that are not `taken`; fewer where there are no more."""
    family = get_family(expansion.family)
    start = expansion.start or family.base
    reach = Reach(
        family, expansion.limits, expansion.num_classes, expansion.budget, expansion.price
    )
    number = failed = 0
    while count and failed < ATTEMPTS:
        rng = np.random.default_rng(int(digest(expansion.seed, DRAW, number), 16))
        shares = shares_of(family.axes, rng.random(len(family.axes) - 1).tolist())
        genotype = shared(reach, start, shares, expansion.budget)
        plan = reach.plan(genotype)
        number, failed = number + 1, failed + 1
        if plan.digest in taken or expansion.limits.refusal(plan) is not None:
            continue
        taken.add(plan.digest)
        count, failed = count - 1, 0
        yield Candidate(
            genotype=genotype,
            plan=plan,
            step=None,
            axis=None,
            role=DRAW,
            target=expansion.budget,
            label=f"draw {number}",
            **expansion.price.fields(plan),
        )
