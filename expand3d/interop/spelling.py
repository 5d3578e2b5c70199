"""Multipliers that a codebase rounds to a plan's integers, if there are any.

Multipliers are only a framework's spelling of a network; here the integers are given and the
spelling is looked for. Every rounding rule is monotone, so the smallest multiplier whose integers
reach the wanted ones either gives them exactly or shows that none does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from expand3d.core.errors import ExportError, Inexpressible
from expand3d.core.genotype import Plan

Integers = tuple[int, ...]

#: Digits after the point that are tried, shortest spelling first.
DIGITS = (1, 2, 3, 4, 6)
LARGEST = 64


@dataclass(frozen=True)
class Rule:
    """A rounding rule: `builder` turns one argument into the integers of one field of the plan."""

    builder: str
    field: str
    argument: str
    integers: Callable[[float], Integers]


def why_not(spelling: Callable[[Plan], object], plan: Plan) -> str | None:
    """The reason why a target cannot build `plan`, as its `spelling` says; None where it can."""
    try:
        spelling(plan)
    except ExportError as error:
        return str(error)
    return None


def spell(rule: Rule, wanted: Integers, preferred: float) -> float:
    """`preferred` where it rounds to `wanted`, else the shortest multiplier that does."""
    if rule.integers(preferred) == wanted:
        return preferred
    for digits in DIGITS:
        below, multiplier = _around(rule, wanted, 10**digits)
        if rule.integers(multiplier) == wanted:
            return multiplier
    closest = min((below, multiplier), key=lambda m: _distance(rule.integers(m), wanted))
    argument = f"{rule.argument} (the nearest is {closest:g})"
    raise refused(rule.builder, rule.field, wanted, rule.integers(closest), argument)


def refused(
    builder: str, field: str, wanted: object, nearest: object, argument: str = "any argument"
) -> Inexpressible:
    """The error that names a field which no argument of `builder` gives, and what is nearest."""
    return Inexpressible(
        f"{builder} cannot express {field} = {wanted} by {argument}; "
        f"the nearest it builds is {nearest}",
        field,
    )


def _around(rule: Rule, wanted: Integers, per_unit: int) -> tuple[float, float]:
    """The largest multiplier that falls short of `wanted` somewhere, and the next one."""

    def reaches(step: int) -> bool:
        got = rule.integers(step / per_unit)
        return all(a >= b for a, b in zip(got, wanted, strict=True))

    # From 1: some builders take a multiplier of 0 for none at all.
    step = 1 + bisect_left(range(1, LARGEST * per_unit), True, key=reaches)
    return max(step - 1, 1) / per_unit, step / per_unit


def _distance(got: Integers, wanted: Integers) -> int:
    return sum(abs(a - b) for a, b in zip(got, wanted, strict=True))
