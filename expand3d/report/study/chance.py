"""The probability of an accuracy by guessing alone."""

from __future__ import annotations

import math


def p_value_against_chance(hits: int, clips: int, chance: float) -> float:
    """Probability of at least `hits` of `clips` right when each is right with `chance`.

    The exact one-sided binomial test, summed in logarithms so that thousands of clips neither
    overflow nor vanish. 1 where chance is 1: of clips of one class anybody knows the class.
    """
    if not 0 <= hits <= clips or not 0 < chance <= 1:
        raise ValueError(f"{hits} of {clips} clips at chance {chance} is not a binomial outcome")
    if hits == 0 or chance == 1:
        return 1.0
    terms = (
        math.lgamma(clips + 1)
        - math.lgamma(k + 1)
        - math.lgamma(clips - k + 1)
        + k * math.log(chance)
        + (clips - k) * math.log1p(-chance)
        for k in range(hits, clips + 1)
    )
    return min(1.0, math.fsum(map(math.exp, terms)))


def format_p(value: float) -> str:
    """'p = 0.013', or 'p < 1e-12' where more digits would mean nothing."""
    if value < 1e-12:
        return "p < 1e-12"
    return f"p = {value:.2g}"
