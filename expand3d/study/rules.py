"""Rules for configuration values: each returns the value or says what is legal."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from expand3d.core.errors import ConfigError, nearest
from expand3d.core.plugins import Kind
from expand3d.core.units import parse_duration, parse_size

#: Takes a value from TOML, JSON or Python and returns it in the type of its field; ValueError
#: completes the sentence "KEY = VALUE must be ...", ConfigError is complete.
Rule = Callable[[Any], Any]


def text(example: str) -> Rule:
    """Text that is not empty."""

    def rule(value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"text such as {example!r}")
        return value.strip()

    return rule


def pattern(expression: str, example: str) -> Rule:
    """Text that the whole of a regular expression matches."""

    def rule(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(expression, value):
            raise ValueError(example)
        return value

    return rule


def choice(options: Iterable[str]) -> Rule:
    """One of a few words."""
    names = tuple(options)

    def rule(value: Any) -> str:
        if value not in names:
            raise ValueError(f"one of {', '.join(names)}{_guess(value, names)}")
        return str(value)

    return rule


def plugin(kind: Kind) -> Rule:
    """The name of a row of `core/plugins.py`, or of the user's own as `package.module:Name`."""

    def rule(value: Any) -> str:
        if isinstance(value, str) and value not in kind and ":" in value:
            kind.load(value)
            return value
        return str(choice(kind)(value))

    return rule


def flag(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def whole(low: int) -> Rule:
    """A whole number of at least `low`."""

    def rule(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"a whole number of at least {low}")
        return value

    return rule


def number(low: float, high: float = math.inf, *, open_low: bool = False) -> Rule:
    """A finite number from `low` to `high` (`open_low`: above `low`), below `high`."""
    start = f"above {low:g}" if open_low else f"of at least {low:g}"
    legal = f"a number {start}" + (f" and below {high:g}" if math.isfinite(high) else "")

    def rule(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(legal)
        if not math.isfinite(value) or not low <= value < high or (open_low and value == low):
            raise ValueError(legal)
        return float(value)

    return rule


def pair(value: Any) -> tuple[int, int]:
    """Two whole numbers of at least 1."""
    whole_numbers = isinstance(value, (list, tuple)) and all(type(item) is int for item in value)
    if not whole_numbers or len(value) != 2 or min(value) < 1:
        raise ValueError("two whole numbers of at least 1 such as [2, 14]")
    return (value[0], value[1])


def names(value: Any) -> tuple[str, ...]:
    """A list of texts; one text counts as a list of one."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(
        isinstance(item, str) and item for item in items
    ):
        raise ValueError('a list of names such as ["scene3", "scene7"]')
    return tuple(items)


def duration(value: Any) -> str:
    """Text that `parse_duration` reads."""
    checked = str(text("2h")(value))
    parse_duration(checked)
    return checked


def size(value: Any) -> str:
    """Text that `parse_size` reads."""
    checked = str(text("20GiB")(value))
    parse_size(checked)
    return checked


def optional(rule: Rule) -> Rule:
    """None, or what `rule` allows."""
    return lambda value: None if value is None else rule(value)


def apply(rule: Rule, key: str, value: Any) -> Any:
    """The value as its field holds it; ConfigError names the key, the value and what is legal."""
    try:
        return rule(value)
    except ValueError as error:
        raise ConfigError(f"{key} = {value!r} must be {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{key} = {error}") from None


def legal(rule: Rule) -> str:
    """The values that a rule allows, in its own words, such as "a whole number of at least 1"."""
    try:
        rule(object())
    except ValueError as error:
        return str(error)
    return ""


def _guess(value: Any, options: tuple[str, ...]) -> str:
    hint = nearest(value, options) if isinstance(value, str) else ""
    return hint if "did you mean" in hint else ""
