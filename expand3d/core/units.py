"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self

from expand3d.core.errors import ConfigError

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
BYTES = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGT", start=1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", start=1)},
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z])")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?\s*[smhd]\s*)+")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)


def parse_duration(text: str) -> float:
    """Seconds of a text such as '2h', '90m', '45s' or '1h30m'; more than zero, or ConfigError."""
    lowered = text.strip().lower()
    if not _DURATION.fullmatch(lowered):
        raise ConfigError(f"{text!r} is not a duration; write one such as 2h, 90m, 45s or 1h30m")
    seconds = sum(float(value) * SECONDS[unit] for value, unit in _PART.findall(lowered))
    if seconds <= 0:
        raise ConfigError(f"{text!r} must be longer than 0s")
    return seconds


def parse_size(text: str) -> int:
    """Bytes of a text such as '20GiB' (powers of 1024) or '500MB' (of 1000); ConfigError else."""
    units = {unit.lower(): factor for unit, factor in BYTES.items()}
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2].lower() not in units:
        raise ConfigError(f"{text!r} is not a size; write one such as 20GiB or 500MB")
    return int(float(match[1]) * units[match[2].lower()])


@dataclass(frozen=True)
class Duration:
    """A time in `seconds`, and the `text` that says it; equal times are equal, however written."""

    seconds: float
    text: str = field(compare=False)

    @classmethod
    def read(cls, text: str) -> Self:
        """The duration that `parse_duration` reads in the text."""
        return cls(parse_duration(text), text.strip())

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Size:
    """A number of `bytes`, and the `text` that says it; equal sizes are equal, however written."""

    bytes: int
    text: str = field(compare=False)

    @classmethod
    def read(cls, text: str) -> Self:
        """The size that `parse_size` reads in the text."""
        return cls(parse_size(text), text.strip())

    def __str__(self) -> str:
        return self.text


def in_bytes(number: float) -> str:
    """A size for people, in decimal units: "12.3 GB"."""
    for unit in ("B", "kB", "MB"):
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.1f} GB"
