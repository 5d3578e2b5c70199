"""Every strategy, small enough to be driven often, and networks scored without training."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable

from expand3d.core.genotype import Genotype
from expand3d.core.plugins import STRATEGIES
from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.networks.family import Limits
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.samplers.sampling import Sampling
from expand3d.search.strategy import Strategy, expand_all

#: Variants of the expansion, by the name of what is theirs.
VARIANTS: dict[str, dict[str, object]] = {
    "beam": {"beam": 3},
    "compound": {"growth": "compound"},
    "both": {"growth": "both", "beam": 2},
    "paper-all": {"schedule": "paper-all", "beam": 2},
}
NAMES = ("expand", *VARIANTS, *STRATEGIES.using("batch"))
#: A Gaussian process takes seconds per network, so it proposes one that is its own.
TRIALS = {"gp": 3}
BUDGET = 300_000_000
LIMITS = Limits(crop=240, duration=90)
#: Accuracy per doubling of a factor, on imaginary data.
HELPS = {"gamma_t": 0.31, "gamma_s": 0.32, "gamma_d": 0.12, "gamma_w": 0.10, "gamma_b": 0.03}

#: The rungs of samplers that race ("tpe-race"), and the visits of a whole training.
RACE_RUNGS, RACE_VISITS = (250, 500), 1000

Evaluate = Callable[[Candidate], Trial]


def make(name: str, *, seed: int = 0, budget: int = BUDGET, **fields: object) -> Strategy:
    common = {"num_classes": 6, "budget": budget, "limits": LIMITS, "seed": seed}
    if name == "expand" or name in VARIANTS:
        return Expansion("x3d", **common, **VARIANTS.get(name, {}))  # type: ignore[arg-type]
    trials = TRIALS.get(name, 14)
    sampler, dash, _ = name.partition("-race")
    if dash:
        race = {"rungs": RACE_RUNGS, "visits": RACE_VISITS, "batch": 8, "trials": 17}
        return Sampling(sampler, "x3d", **{**common, **race, **fields})  # type: ignore[arg-type]
    return Sampling(name, "x3d", **{**common, "trials": trials, **fields})  # type: ignore[arg-type]


def accuracy(genotype: Genotype) -> float:
    """A saturating sum of doublings; clips of about 40 frames are the best."""
    gain = sum(help * math.log2(genotype[factor]) for factor, help in HELPS.items())
    if genotype["gamma_t"] > 1:
        gain -= 0.08 * abs(math.log2(genotype["gamma_t"] * genotype["gamma_tau"] / 40))
    return 0.92 - 0.62 * math.exp(-1.1 * gain)


def scored(candidate: Candidate) -> Trial:
    """A complete trial whose log-loss falls as the accuracy rises."""
    right = accuracy(candidate.genotype)
    scores = tuple(ClipScore(f"c{i}", 0, int(i / 50 > right), 2 * (1 - right)) for i in range(50))
    training = Training("ok", None, scores, 0, 0, 0.0, 0)
    return Trial(0, "complete", candidate, {"macs": candidate.macs}, {TrainingKey(): training})


def raced(candidate: Candidate, visits: int | None) -> Training:
    """A training to so many visits, where less trained networks are ranked a little otherwise."""
    done = RACE_VISITS if visits is None else visits
    late = random.Random(candidate.digest).random() * (1 - done / RACE_VISITS)
    loss = 2 * (1 - accuracy(candidate.genotype)) + 0.3 * late
    scores = tuple(ClipScore(f"c{i}", 0, 0, loss) for i in range(20))
    return Training("ok", None, scores, done, 3 * done * candidate.macs, 0.0, 0)


def failed(candidate: Candidate) -> Trial:
    return Trial(0, "failed", candidate, {"macs": candidate.macs}, reason="out of memory")


@functools.cache
def whole(name: str, seed: int = 0) -> tuple[Trial, ...]:
    """The trials of an uninterrupted run."""
    return tuple(expand_all(make(name, seed=seed), scored))
