"""A table of trained networks, read from its folder: rows by network, scores by seed and visits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import DataError
from expand3d.core.genotype import Genotype, Plan
from expand3d.core.plugins import FAMILIES
from expand3d.core.recipe import Recipe
from expand3d.core.result import TRAINING_FACTOR
from expand3d.core.trial import Candidate
from expand3d.networks.family import Limits
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.tabular.columns import ABOUT, CLIPS, FORMAT, SCORES, UNTRAINED


class Cell(NamedTuple):
    """One test of one training: of each validation clip, and the means over the test clips."""

    val_nll: NDArray[np.float32]
    val_right: NDArray[np.bool_]
    test_nll: float
    test_top1: float


@dataclass(frozen=True)
class Row:
    """A network, and its tests by seed and visits."""

    candidate: Candidate
    cells: Mapping[tuple[int, int], Cell]

    def seeds(self, visits: int) -> tuple[int, ...]:
        """The seeds that were tested after so many visits."""
        return tuple(sorted(repeat for repeat, at in self.cells if at == visits))

    def truth(self, visits: int) -> tuple[float, float]:
        """The mean over seeds of top-1 and log-loss on the test clips."""
        cells = [self.cells[seed, visits] for seed in self.seeds(visits)]
        top1, nll = ([cell.test_top1 for cell in cells], [cell.test_nll for cell in cells])
        return float(np.mean(top1)), float(np.mean(nll))


@dataclass(frozen=True)
class Table:
    """Everything that strategies are compared on.

    `rows` are by the digest of a network's plan; each has at least one whole training. `groups`
    numbers the group of each validation clip, `labels` its class. `visits` are the rungs and the
    whole length, ascending. `untrained` has the scores without training by the same digests, where
    somebody took them.
    """

    rows: Mapping[str, Row]
    expansion: Expansion
    recipe: Recipe
    visits: tuple[int, ...]
    groups: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    untrained: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def whole(self) -> int:
        """Clip visits of a whole training."""
        return self.visits[-1]

    @cached_property
    def spread(self) -> Mapping[int, float]:
        """By visits, the standard deviation of the validation log-loss between seeds of a network.

        0 where no network has several seeds.
        """
        found = {}
        for visits in self.visits:
            losses = [
                [float(row.cells[seed, visits].val_nll.mean()) for seed in row.seeds(visits)]
                for row in self.rows.values()
            ]
            variances = [float(np.var(each, ddof=1)) for each in losses if len(each) > 1]
            found[visits] = math.sqrt(float(np.mean(variances))) if variances else 0.0
        return found

    def cost(self, candidate: Candidate, visits: int) -> int:
        """Multiply-adds of training a network to so many visits, and of scoring it there."""
        batches = math.ceil(visits / self.recipe.batch)
        trained = TRAINING_FACTOR * candidate.macs * batches * self.recipe.batch
        views = len(self.groups) * self.recipe.test_views * self.recipe.test_crops
        return trained + candidate.macs * views

    def further(self, candidate: Candidate, before: int, visits: int) -> int:
        """Multiply-adds of going on from a test after `before` visits to one after `visits`.

        0 visits before are a training from the beginning. A branch that was tested is thrown away.
        """
        if not before:
            return self.cost(candidate, visits)
        batches = math.ceil(before / self.recipe.batch)
        kept = self.recipe.trunk(batches) * self.recipe.batch
        saved = TRAINING_FACTOR * candidate.macs * kept
        return self.cost(candidate, visits) - saved


def read_table(folder: str | Path) -> Table:
    """The table in a folder; DataError where there is none, or one of a later version."""
    import pyarrow.parquet as parquet

    path = Path(folder)
    try:
        scores = parquet.read_table(path / SCORES)
        clips = parquet.read_table(path / CLIPS).to_pandas()
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: there is no table that can be read: {error}") from None
    about = json.loads((scores.schema.metadata or {}).get(ABOUT, b"{}"))
    if about.get("format") != FORMAT:
        raise DataError(f"{path / SCORES} is of format {about.get('format')}; this reads {FORMAT}")
    val = clips[clips["part"] == "val"]
    test = clips[clips["part"] == "test"]
    labels = val["label"].to_numpy(dtype=np.int64), test["label"].to_numpy(dtype=np.int64)
    groups = val["group"].where(val["group"].notna(), val["key"])
    visits = (*about["rungs"], about["visits"])
    return Table(
        rows=_rows(scores.to_pylist(), labels, visits),
        expansion=Expansion(
            family=about["family"],
            num_classes=len(about["classes"]),
            budget=about["budget"],
            limits=Limits.from_json(about["limits"]),
            start=Genotype.from_json(about["start"]),
            metric="nll",
        ),
        recipe=Recipe.from_json(about["recipe"]),
        visits=visits,
        groups=np.unique(groups.to_numpy(dtype=str), return_inverse=True)[1],
        labels=labels[0],
        classes=tuple(about["classes"]),
        untrained=_untrained(path / UNTRAINED),
    )


def _untrained(file: Path) -> dict[str, dict[str, float]]:
    """Scores without training by network; none where the table has no such file."""
    import pyarrow.parquet as parquet

    if not file.is_file():
        return {}
    return {row.pop("network"): row for row in parquet.read_table(file).to_pylist()}


def _rows(
    tests: list[dict[str, Any]], labels: tuple[NDArray[Any], NDArray[Any]], visits: tuple[int, ...]
) -> dict[str, Row]:
    """Rows by network, in the order of the file; those without a whole training are left out."""
    cells: dict[str, dict[tuple[int, int], Cell]] = {}
    candidates: dict[str, Candidate] = {}
    for test in tests:
        if test["status"] != "ok":
            continue
        name = test["network"]
        candidates.setdefault(name, _candidate(test))
        cells.setdefault(name, {})[test["repeat"], test["visits"]] = Cell(
            np.array(test["val_nll"], dtype=np.float32),
            np.array(test["val_class"]) == labels[0],
            float(np.mean(test["test_nll"])),
            float((np.array(test["test_class"]) == labels[1]).mean()),
        )
    return {
        name: Row(candidates[name], found)
        for name, found in cells.items()
        if any(at == visits[-1] for _, at in found)
    }


def _candidate(test: dict[str, Any]) -> Candidate:
    plan: Plan = FAMILIES.load(json.loads(test["plan"])["family"]).plan_from_json(
        json.loads(test["plan"])
    )
    return Candidate(
        genotype=Genotype.from_json(json.loads(test["genotype"])),
        plan=plan,
        macs=test["macs"],
        step=test["step"],
        axis=test["axis"],
        role=test["role"],
    )
