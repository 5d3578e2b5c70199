"""Calibration errors and temperatures that are known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from expand3d.training.calibration import (
    expected_calibration_error,
    fit_temperature,
    heated,
    log_loss,
    reliability,
)


def sure(confidence: float, hits: int, clips: int) -> tuple[np.ndarray, list[int]]:
    """Clips whose first class has this probability, and of which so many are right."""
    rows = np.tile([confidence, 1 - confidence], (clips, 1))
    return rows, [0] * hits + [1] * (clips - hits)


def test_the_error_is_the_distance_of_confidence_and_accuracy() -> None:
    first, labels = sure(0.9, 6, 10)
    second, more = sure(0.62, 18, 30)
    both = np.concatenate([first, second]), [*labels, *more]
    assert expected_calibration_error(first, labels) == pytest.approx(0.3)
    assert expected_calibration_error(*both) == pytest.approx((10 * 0.3 + 30 * 0.02) / 40)
    filled = [each for each in reliability(*both) if each.clips]
    assert [(each.clips, round(each.accuracy, 6)) for each in filled] == [(30, 0.6), (10, 0.6)]


def test_a_temperature_divides_the_logits() -> None:
    rows = np.array([[0.8, 0.15, 0.05]])
    logits = np.log(rows) / 2.5
    wanted = np.exp(logits) / np.exp(logits).sum()
    assert heated(rows, 2.5) == pytest.approx(wanted)
    assert heated(rows, 1.0) == pytest.approx(rows)


def test_the_fitted_temperature_makes_confidence_the_accuracy() -> None:
    """Of two classes and one confidence c, the best one is logit(c) / logit(accuracy)."""
    rows, labels = sure(0.99, 80, 100)
    temperature = fit_temperature(rows, labels)
    wanted = math.log(0.99 / 0.01) / math.log(0.8 / 0.2)
    assert temperature == pytest.approx(wanted, rel=1e-3)
    assert expected_calibration_error(heated(rows, temperature), labels) < 1e-3
    assert log_loss(heated(rows, temperature), labels) < log_loss(rows, labels)
