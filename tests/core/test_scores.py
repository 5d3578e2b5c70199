"""Scores and intervals against hand-worked and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from expand3d.core.classes import ClassCount
from expand3d.core.scores import ClipScore, Means, summary, wilson
from expand3d.training.scoring import clip_score


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_as_published(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson(hits, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_stays_inside_zero_and_one() -> None:
    for trials in range(1, 200):
        assert 1 - 1e-12 < wilson(trials, trials)[1] <= 1
        assert 0 <= wilson(0, trials)[0] < 1e-12


def test_ties_count_against_the_true_class() -> None:
    tied = np.array([0.25, 0.25, 0.25, 0.25])
    assert clip_score(tied, key="a", label=0).rank == 3
    clear = clip_score(np.array([0.1, 0.6, 0.3]), key="a", label=2, group="g")
    assert clear == ClipScore("a", 2, 1, pytest.approx(-math.log(0.3)), "g", predicted=1)


def test_log_loss_is_bounded() -> None:
    score = clip_score(np.array([1.0, 0.0]), key="a", label=1)
    assert score.rank == 1 and score.nll == pytest.approx(12 * math.log(10))


def test_a_summary_is_the_means_with_the_interval_of_top1() -> None:
    counts = {3: ClassCount(100, 10), 5: ClassCount(48, 5)}
    found = summary(Means(clips=148, top1=15 / 148, top5=0.5, nll=2.0), counts)
    assert (found.top1, found.top5, found.nll, found.clips) == (15 / 148, 0.5, 2.0, 148)
    assert found.top1_ci == pytest.approx((0.0624, 0.1605), abs=5e-5)  # Newcombe, as above
    assert found.mean_class == pytest.approx((10 / 100 + 5 / 48) / 2)
    assert found.chance == pytest.approx(100 / 148)
