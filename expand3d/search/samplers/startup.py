"""The networks that a sampler needs before a model is asked, and the size of a generation."""

from __future__ import annotations

from expand3d.search.samplers.optuna import GENETIC

#: Random networks before a model has something to learn from: at least, and at most.
LEAST_STARTUP, STARTUP = 2, 10
#: The part of all networks, or of what may be spent, that goes to random ones at most.
STARTUP_SHARE = 3
#: The least and the most networks of a generation, and how many generations are aimed at.
LEAST_POPULATION, MOST_POPULATION, GENERATIONS = 4, 50, 4


def population(trials: int) -> int:
    """Networks of a generation, for the samplers that breed, where so many are trained in all."""
    return max(LEAST_POPULATION, min(MOST_POPULATION, trials // GENERATIONS))


def started(sampler: str, scored: int, *, trials: int, used: bool) -> bool:
    """True where so many networks with a score are enough for the sampler to be asked.

    A training limit may end the search long before `trials`, so that a part of it counts as the
    same part of them does: `used` is true where that is spent. What is spent only grows: once
    asked, a sampler stays asked.
    """
    if sampler in GENETIC:
        return scored >= population(trials)
    if scored >= min(STARTUP, max(LEAST_STARTUP, trials // STARTUP_SHARE)):
        return True
    return used and scored >= LEAST_STARTUP
