"""Measured latency of one clip in a network: pure data, kept in the record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NANO = 10**6


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one clip's forward pass, batch 1, in eval mode, after a warm-up.

    `median` of `runs` passes; `low` and `high` are the quartiles. Of no passes it is predicted, and
    these are the median less and more its mean error. `hardware` is the name of the
    processor or the GPU behind `device`; `setting` says layout, precision and torch's version.
    """

    median: float
    low: float
    high: float
    runs: int
    device: str
    hardware: str
    threads: int
    setting: str

    @property
    def nanoseconds(self) -> int:
        """The median as a whole number, as costs are counted."""
        return round(self.median * NANO)

    @property
    def text(self) -> str:
        """'24.3 ms (24.1 to 24.9)': the median and the quartiles; a prediction says so."""
        predicted = "" if self.runs else ", predicted"
        return f"{self.median:.3g} ms ({self.low:.3g} to {self.high:.3g}{predicted})"

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Latency:
        return cls(**data)
