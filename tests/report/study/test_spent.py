"""The cost of trainings against sums by hand."""

from __future__ import annotations

from dataclasses import replace

from expand3d.core.result import TrainingKey
from expand3d.core.trial import Trial
from expand3d.report.study.spent import spent
from tests.helpers.studies import strategy_of, training


def trial(number: int, peak: int, predicted: int | None) -> Trial:
    run = replace(
        training(0.5, clips=4, seed=0),
        seconds=50.0,
        waited_seconds=1.0,
        test_seconds=10.0,
        peak_memory=peak,
    )
    base = strategy_of("0.3GFLOPs").futures()[0][0].candidates[0]
    provenance = {} if predicted is None else {"predicted_memory": predicted}
    return Trial(number, "complete", base, {}, {TrainingKey(): run}, provenance=provenance)


def test_shares_are_of_the_training_proper() -> None:
    took = spent([trial(0, 5 * 10**8, None), trial(1, 4 * 10**8, 10**9)])
    assert (took.seconds, took.waited_seconds, took.test_seconds) == (100, 2, 20)
    assert (took.waited, took.tested) == (2 / 80, 20 / 80)


def test_the_prediction_is_that_of_the_trial_that_took_most() -> None:
    took = spent([trial(0, 5 * 10**8, 6 * 10**8), trial(1, 4 * 10**8, 10**9)])
    assert took.memory_json() == {"peak_memory": 5 * 10**8, "predicted_memory": 6 * 10**8}
    assert took.text == (
        "waited for clips 2.5% of the training time, tests took 25% of it, "
        "memory at most 500 MB (600 MB predicted)"
    )


def test_nothing_trained_took_nothing() -> None:
    took = spent([])
    assert took.memory_json() == {"peak_memory": None, "predicted_memory": None}
    assert took.text == "waited for clips 0.0% of the training time, tests took 0% of it"
