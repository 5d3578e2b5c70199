"""Latencies of another device, from the CSV that a latency kit printed there.

A network of the table has the latency that was measured. Another one has a predicted one: a sum of
what takes time (multiply-adds, activations, parameters, layers, a constant), whose shares are not
negative and fit the table. Which of them take part is chosen by leaving each network out once; the
mean error of those predictions is the error that every prediction states.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Plan
from expand3d.core.measured import Latency
from expand3d.networks import get_family, plan_from_json

#: The fewest networks from which others are predicted.
FEWEST = 4
COLUMNS = ("digest", "plan", "device", "median_ms", "low_ms", "high_ms", "passes", "threads")


@dataclass(frozen=True)
class Table:
    """The networks that were timed on one device, and the latency of each by digest."""

    file: str
    device: str
    plans: tuple[Plan, ...]
    latencies: Mapping[str, Latency]

    def latency(self, plan: Plan) -> Latency:
        """The measured latency of `plan`, or a predicted one, of no passes, that says its error.

        ConfigError where too few networks were timed to predict another.
        """
        known = self.latencies.get(plan.digest)
        if known is not None:
            return known
        if len(self.plans) < FEWEST:
            raise ConfigError(
                f"{self.file} has {len(self.plans)} networks of {self.device}, and not this one; "
                f"others are predicted from {FEWEST} on: give `expand3d latency-kit` more"
            )
        terms, shares, error = self._fit
        median = float(_features([plan], terms)[0] @ shares)
        first = next(iter(self.latencies.values()))
        return Latency(
            median=median,
            low=median / (1 + error),
            high=median * (1 + error),
            runs=0,
            device=self.device,
            hardware=first.hardware,
            threads=first.threads,
            setting=f"predicted from {len(self.plans)} networks of {self.file}, mean error "
            f"{error:.0%}; {first.setting}",
        )

    @cached_property
    def _fit(self) -> tuple[tuple[int, ...], NDArray[np.float64], float]:
        """The terms that take part, the milliseconds of each, and the mean relative error."""
        times = np.array([self.latencies[plan.digest].median for plan in self.plans])
        found = []
        for size in range(1, min(len(TERMS), len(self.plans) - 2) + 1):
            for terms in combinations(range(len(TERMS)), size):
                features = _features(self.plans, terms)
                shares = _shares(features, times)
                error = _left_out(features, times)
                if shares is not None and error is not None:
                    found.append((error, terms, shares))
        error, terms, shares = min(found, key=lambda each: (each[0], each[1]))
        return terms, shares, error


#: What may take time, as numbers near 1.
TERMS = ("constant", "macs", "activations", "params", "layers")


def read_table(file: str | Path, device: str) -> Table:
    """The rows of `device`; ConfigError names the file, and the column or the device that lacks."""
    path = Path(file)
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"latencies = {str(file)!r} cannot be read: {error}") from None
    lacking = [name for name in COLUMNS if not rows or name not in rows[0]]
    if lacking:
        raise ConfigError(
            f"{file} is no CSV of a latency kit: it has no column {', '.join(lacking)}"
        )
    mine = [row for row in rows if row["device"] == device]
    if not mine:
        there = ", ".join(sorted({row["device"] for row in rows}))
        raise ConfigError(f"{file} has no latencies of {device!r}; it has those of {there}")
    try:
        plans = {row["digest"]: plan_from_json(json.loads(row["plan"])) for row in mine}
        latencies = {row["digest"]: _latency(row, path.name) for row in mine}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} has a row that is none of a latency kit: {error}") from None
    if odd := [name for name, plan in plans.items() if plan.digest != name]:
        raise ConfigError(f"{file}: the digest {odd[0]} is not that of the plan beside it")
    return Table(path.name, device, tuple(plans.values()), latencies)


def _latency(row: Mapping[str, str], file: str) -> Latency:
    median, low, high = (float(row[name]) for name in ("median_ms", "low_ms", "high_ms"))
    if not 0 < low <= median <= high < float("inf"):
        raise ValueError(f"{low} <= {median} <= {high} ms")
    return Latency(
        median=median,
        low=low,
        high=high,
        runs=int(row["passes"]),
        device=row["device"],
        hardware=row.get("hardware") or row["device"],
        threads=int(row["threads"]),
        setting=f"measured, {file}; {row.get('setting', '')}",
    )


def _features(plans: Sequence[Plan], terms: Sequence[int]) -> NDArray[np.float64]:
    rows = []
    for plan in plans:
        cost = get_family(plan.family).cost(plan)
        layers = len(cost.operators)
        row = (1.0, cost.macs / 1e9, cost.activations / 1e7, cost.params / 1e7, layers / 100)
        rows.append([row[term] for term in terms])
    return np.array(rows)


def _shares(
    features: NDArray[np.float64], times: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """The least squares of relative errors; None where a share would be negative."""
    weighted = features / times[:, None]
    shares, _, rank, _ = np.linalg.lstsq(weighted, np.ones(len(times)), rcond=None)
    if rank < features.shape[1] or (shares < 0).any():
        return None
    return np.asarray(shares, dtype=np.float64)


def _left_out(features: NDArray[np.float64], times: NDArray[np.float64]) -> float | None:
    """The mean relative error of each network predicted by the others; None where none fit."""
    errors = []
    for place in range(len(times)):
        others = np.arange(len(times)) != place
        shares = _shares(features[others], times[others])
        if shares is None:
            return None
        errors.append(abs(features[place] @ shares / times[place] - 1))
    return float(np.mean(errors))
