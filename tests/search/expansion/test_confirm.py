"""Steps whose two best networks are trained from scratch too."""

from __future__ import annotations

import dataclasses
from typing import Any

from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import BASELINE, SCRATCH, Candidate, Trial
from expand3d.networks.family import Limits
from expand3d.search.expansion.confirm import agreement, pairs
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.strategy import expand_all

EXPANSION = Expansion(
    "x3d", 6, 100_000_000, Limits(crop=240, duration=90), inherit=True, metric="nll"
)


def scored(candidate: Candidate, loss: float) -> Trial:
    scores = tuple(ClipScore(f"c{n}", n % 6, 0, loss + 0.001 * (n % 3)) for n in range(12))
    run = Training("ok", None, scores, 100, 1, 1.0, 1)
    return Trial(0, "complete", candidate, {}, trainings={TrainingKey(): run})


def warm(candidate: Candidate) -> Trial:
    """A deeper network is the best of each step, a wider one comes second."""
    place = {"gamma_d": 0, "gamma_w": 1}.get(candidate.axis or "", 2)
    return scored(candidate, 2.0 - 0.2 * (candidate.step or 0) + 0.05 * place)


def test_each_step_with_a_choice_has_a_pair_without_weights() -> None:
    trials = expand_all(EXPANSION, warm)
    steps = EXPANSION.steps(trials)
    found = pairs(steps)
    assert len(steps) > 2 and [pair.step for pair in found] == list(range(1, len(steps)))
    for pair, step in zip(found, steps[1:], strict=True):
        for scratch, trial in zip((pair.best, pair.runner_up), step.ranked, strict=False):
            assert scratch.plan == trial.candidate.plan and scratch.start == SCRATCH
            assert scratch.digest == scratch.plan.digest != trial.candidate.digest
            assert scratch.role == BASELINE and scratch.step is None
    first = found[0]
    assert first.best.label == "step 1, gamma_d, from scratch"
    assert first.runner_up.label == "step 1, gamma_w, from scratch"
    assert Candidate.from_json(first.best.to_json()) == first.best


def test_how_often_both_ways_choose_alike_is_counted() -> None:
    trials: list[Any] = expand_all(EXPANSION, warm)
    steps = EXPANSION.steps(trials)
    assert agreement(steps, trials, "nll") is None
    result = EXPANSION.result(trials)
    for pair in pairs(steps):  # from scratch the wider one is better in step 2
        losses = (1.0, 0.9) if pair.step == 2 else (0.9, 1.0)
        for candidate, loss in zip((pair.best, pair.runner_up), losses, strict=True):
            trials.append(dataclasses.replace(scored(candidate, loss), number=len(trials)))
    count = len(pairs(steps))
    assert agreement(steps, trials, "nll") == (
        f"from scratch, {count - 1} of {count} steps choose alike (not step 2); "
        f"{count} of these orders resolved"
    )
    # They are far better than all others, and decide nothing.
    assert EXPANSION.result(trials) == result
    assert EXPANSION.steps(trials) == steps
