"""The binomial test against exact fractions and against values worked out by hand."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from expand3d.report.study.chance import format_p, p_value_against_chance


def exact(hits: int, clips: int, chance: Fraction) -> Fraction:
    """The tail of the binomial distribution in whole numbers."""
    return sum(
        (math.comb(clips, k) * chance**k * (1 - chance) ** (clips - k))
        for k in range(hits, clips + 1)
    )


@pytest.mark.parametrize("hits, clips", [(0, 5), (1, 5), (5, 5), (9, 24), (13, 40), (400, 1000)])
def test_equals_the_sum_of_fractions(hits: int, clips: int) -> None:
    wanted = float(exact(hits, clips, Fraction(1, 6)))
    assert p_value_against_chance(hits, clips, 1 / 6) == pytest.approx(wanted, rel=1e-9)


def test_by_hand() -> None:
    # At least 2 of 3 heads: 3/8 + 1/8.
    assert p_value_against_chance(2, 3, 0.5) == pytest.approx(0.5)
    # All 4 of 4 at 1/6: 1/1296.
    assert p_value_against_chance(4, 4, 1 / 6) == pytest.approx(1 / 1296)


def test_many_clips_neither_overflow_nor_pass_one() -> None:
    assert p_value_against_chance(1, 100_000, 1 / 400) == pytest.approx(1.0)
    assert p_value_against_chance(90_000, 100_000, 1 / 400) == 0.0


def test_what_is_not_a_binomial_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="5 of 4 clips"):
        p_value_against_chance(5, 4, 0.5)


def test_text() -> None:
    assert format_p(0.0123) == "p = 0.012"
    assert format_p(3e-20) == "p < 1e-12"
