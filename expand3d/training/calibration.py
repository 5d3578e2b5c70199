"""Calibration: how far a network's probabilities are from its accuracy, and what mends that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Bins of equal width by the probability of the best class.
BINS = 15
#: The range of temperatures, and the least probability that a logarithm is taken of.
COLDEST, HOTTEST, LEAST = 0.01, 100.0, 1e-12

Probabilities = NDArray[np.floating]


@dataclass(frozen=True)
class Bin:
    """Clips whose best class has a probability up to `upper`: how many, its mean, accuracy."""

    upper: float
    clips: int
    confidence: float
    accuracy: float


def reliability(probabilities: Probabilities, labels: Sequence[int]) -> tuple[Bin, ...]:
    """The clips (N x classes) in bins by the probability of their best class; empty ones too."""
    best = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == np.asarray(labels)
    places = np.clip(np.ceil(best * BINS).astype(int) - 1, 0, BINS - 1)
    found = []
    for place in range(BINS):
        inside = places == place
        clips = int(inside.sum())
        confidence = float(best[inside].mean()) if clips else 0.0
        accuracy = float(right[inside].mean()) if clips else 0.0
        found.append(Bin((place + 1) / BINS, clips, confidence, accuracy))
    return tuple(found)


def expected_calibration_error(probabilities: Probabilities, labels: Sequence[int]) -> float:
    """The mean distance of accuracy and confidence over bins, 0 to 1 (arXiv 1706.04599, eq. 3)."""
    found = reliability(probabilities, labels)
    clips = sum(each.clips for each in found)
    return sum(each.clips * abs(each.accuracy - each.confidence) for each in found) / clips


def heated(probabilities: Probabilities, temperature: float) -> Probabilities:
    """The probabilities with their logarithms divided by `temperature`: above 1 less sure.

    Of one view that is the softmax of logits / temperature.
    """
    logits = np.log(np.maximum(probabilities, LEAST)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return found


def log_loss(probabilities: Probabilities, labels: Sequence[int]) -> float:
    """The mean log-loss of the true class in nats."""
    true = probabilities[np.arange(len(labels)), np.asarray(labels)]
    return float(-np.log(np.maximum(true, LEAST)).mean())


def fit_temperature(probabilities: Probabilities, labels: Sequence[int]) -> float:
    """The temperature with the least log-loss on clips (arXiv 1706.04599, section 4.2)."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return log_loss(heated(probabilities, float(np.exp(log_temperature))), labels)

    bounds = np.log(COLDEST), np.log(HOTTEST)
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))
