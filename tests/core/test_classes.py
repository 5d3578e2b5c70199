"""Mean class accuracy, chance and confusion over generated label counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.core.classes import (
    ClassCount,
    Confusion,
    by_class,
    confusions,
    largest_share,
    mean_class_accuracy,
    pool_classes,
)
from expand3d.core.scores import ClipScore, PackedScores, pack_scores, unpack_scores
from expand3d.report.study.chance import p_value_against_chance
from expand3d.training.scoring import clip_score

COUNTS = st.lists(st.integers(1, 30), min_size=1, max_size=12)


def said(counts: list[int], predicted: list[int]) -> list[ClipScore]:
    """A score per clip whose class came first, or second behind the predicted one."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return [
        ClipScore(f"clip{n}", label, int(label != guess), 0.5, None, guess)
        for n, (label, guess) in enumerate(zip(labels, predicted, strict=True))
    ]


@given(counts=COUNTS, data=st.data())
def test_always_one_class_is_chance_and_no_evidence(counts: list[int], data: st.DataObject) -> None:
    always = data.draw(st.integers(0, len(counts) - 1))
    clips = sum(counts)
    found = by_class(said(counts, [always] * clips))
    assert mean_class_accuracy(found) == pytest.approx(1 / len(counts))
    assert largest_share(found) == max(counts) / clips
    hits = counts[always]
    # Who says the largest class is right as often as chance: the median of the binomial, about.
    assert p_value_against_chance(hits, clips, max(counts) / clips) > 0.4


def test_twenty_to_four_says_what_a_network_that_sees_nothing_scores() -> None:
    found = by_class(said([20, 4], [0] * 24))
    assert largest_share(found) == 20 / 24
    assert mean_class_accuracy(found) == 0.5
    assert p_value_against_chance(20, 24, 20 / 24) == pytest.approx(0.629, abs=0.001)  # R: pbinom


@given(counts=COUNTS, data=st.data())
def test_counts_and_confusions_are_those_of_a_confusion_matrix(
    counts: list[int], data: st.DataObject
) -> None:
    guess = st.integers(0, len(counts) - 1)
    guesses = data.draw(st.lists(guess, min_size=sum(counts), max_size=sum(counts)))
    scores = said(counts, guesses)
    matrix = np.zeros((len(counts), len(counts)), int)
    for score, one in zip(scores, guesses, strict=True):
        matrix[score.label, one] += 1
    found = by_class(scores)
    assert found == {n: (count, matrix[n, n]) for n, count in enumerate(counts)}
    recalls = np.diag(matrix) / matrix.sum(axis=1)
    assert mean_class_accuracy(found) == pytest.approx(recalls.mean())
    confused = confusions(scores)
    assert sum(one.clips for one in confused) == matrix.sum() - np.trace(matrix)
    assert all(matrix[one.true, one.predicted] == one.clips for one in confused)
    assert [one.clips for one in confused] == sorted((c.clips for c in confused), reverse=True)
    packed = pack_scores(scores)
    assert PackedScores(packed).by_class == found
    assert unpack_scores(packed) == scores
    # A record of an earlier version has neither the column nor the counts.
    old = [score._replace(predicted=None) for score in scores]
    earlier = {k: v for k, v in pack_scores(old).items() if k != "classes"}
    assert PackedScores(earlier).by_class == found
    assert confusions(PackedScores(earlier)) == ()


def test_folds_are_pooled_and_repeats_averaged() -> None:
    first = {0: ClassCount(2, 2), 1: ClassCount(2, 0)}
    again = {0: ClassCount(2, 1), 1: ClassCount(2, 1)}
    second = {0: ClassCount(1, 1), 2: ClassCount(1, 0)}
    found = pool_classes([[first, again], [second]])
    assert found == {0: (3, 2.5), 1: (2, 0.5), 2: (1, 0)}


def test_the_predicted_class_is_the_true_one_only_where_it_is_first() -> None:
    tied = clip_score(np.array([0.4, 0.4, 0.2]), key="a", label=0)
    assert (tied.rank, tied.predicted) == (1, 1)
    clear = clip_score(np.array([0.2, 0.3, 0.5]), key="a", label=2)
    assert (clear.rank, clear.predicted) == (0, 2)
    assert confusions([tied, clear]) == (Confusion(0, 1, 1, 1),)


@given(data=st.data(), classes=st.integers(2, 6))
def test_rank_and_predicted_class_agree(data: st.DataObject, classes: int) -> None:
    values = data.draw(
        st.lists(st.sampled_from([0.0, 0.1, 0.3]), min_size=classes, max_size=classes)
    )
    label = data.draw(st.integers(0, classes - 1))
    score = clip_score(np.array(values), key="a", label=label)
    assert (score.predicted == label) == (score.rank == 0)
    assert score.predicted is not None and values[score.predicted] == max(values)


def test_the_interval_of_the_mean_class_accuracy_is_wider_than_its_parts_say() -> None:
    """By hand: 8 of 10 and 2 of 2, with two more right and wrong each."""
    from expand3d.core.classes import ClassCount, mean_class_interval

    low, high = mean_class_interval({0: ClassCount(10, 8), 3: ClassCount(2, 2)})
    first, second = 10 / 14, 4 / 6
    half = 1.96 * (first * (1 - first) / 14 + second * (1 - second) / 6) ** 0.5 / 2
    assert low == pytest.approx(0.9 - half, abs=1e-4) and high == 1.0
