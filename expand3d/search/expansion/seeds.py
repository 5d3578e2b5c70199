"""Further seeds of the close networks of a step: a trial each, and one network to whoever reads.

At the end of a race the best networks of a step may be too close for one seed each to tell them
apart. They are trained with further seeds then, and their means decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from expand3d.core.result import Training, TrainingKey
from expand3d.core.trial import Candidate, Trial, identity

#: Networks of a step that get further seeds at most.
CLOSE = 3


def with_seed(candidate: Candidate, repeat: int) -> Candidate:
    """The same network with a seed of its own, counted from 0."""
    return replace(candidate, repeat=repeat, label=f"seed {repeat + 1}")


def pooled(trials: Sequence[Trial]) -> list[Trial]:
    """The trials, where trainings with further seeds are among those of their network.

    A trial that is a further seed, whole, of a network whose own trial is whole does not stand by
    itself then: the mean over all seeds is the network's score.
    """
    found: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.state == "complete" and trial.candidate.repeat is None:
            found.setdefault(trial.candidate.digest, trial)
    more: dict[str, dict[TrainingKey, Training]] = {}
    joined = set()
    for trial in trials:
        network = identity(trial.candidate.plan, trial.candidate.start)
        whole = trial.state == "complete" and trial.candidate.repeat is not None
        if whole and network in found:
            more.setdefault(network, {}).update(trial.trainings)
            joined.add(trial.number)
    its = {found[network].number: runs for network, runs in more.items()}
    return [
        replace(trial, trainings={**trial.trainings, **its[trial.number]})
        if trial.number in its
        else trial
        for trial in trials
        if trial.number not in joined
    ]


def of_seeds(trial: Trial, seeds: int) -> Trial:
    """The trial with only its whole trainings, of the first so many seeds."""
    kept = {
        key: run
        for key, run in trial.trainings.items()
        if key.visits is None and key.repeat < seeds
    }
    return replace(trial, trainings=kept)
