"""A CSV of networks, one per row, under the names of a family's factors or of other codebases."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from expand3d.core.errors import DataError, FactorError, nearest
from expand3d.core.genotype import Genotype, Plan
from expand3d.networks import get_family
from expand3d.networks.family import Family

CLASSES = "num_classes"


class Network(NamedTuple):
    """One row: its genotype and the plan that it resolves to."""

    genotype: Genotype
    plan: Plan


@dataclass(frozen=True)
class Networks:
    """The rows of a file, and the columns of it that say nothing about a network."""

    rows: tuple[Network, ...]
    ignored: tuple[str, ...]


def read_networks(path: Path, start: Genotype, *, num_classes: int = 400) -> Networks:
    """The networks of the CSV at `path`; what a row does not say is taken from `start`.

    Columns are factors, their spellings in other codebases (crop, width_factor, ...), and
    num_classes, in any order; an empty cell is a value not given. Raises DataError with file,
    line and column for a value that cannot be used.
    """
    family = get_family(start.family)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            header = [name.strip() for name in next(lines, [])]
            columns = _known_columns(path, header, family)
            rows = [
                _network(f"{path}, line {lines.line_num}", columns, cells, start, num_classes)
                for cells in lines
                if any(cell.strip() for cell in cells)
            ]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file in UTF-8: {error}") from None
    if not rows:
        raise DataError(f"{path} has no rows below its header")
    ignored = tuple(name for index, name in enumerate(header) if index not in columns)
    return Networks(tuple(rows), ignored)


def _known_columns(path: Path, header: Sequence[str], family: Family) -> dict[int, str]:
    """Column number -> name, for those that the family knows; each factor at most once."""
    known = [*family.factors, *family.all_spellings, CLASSES]
    columns = {index: name for index, name in enumerate(header) if name in known}
    by_factor: dict[str, str] = {}
    for name in columns.values():
        factor = name if name == CLASSES else family.spell(name, 1.0)[0]
        if factor in by_factor:
            raise DataError(
                f"{path}, line 1: columns {by_factor[factor]!r} and {name!r} both say {factor}"
            )
        by_factor[factor] = name
    for name in header:
        if name not in known and difflib.get_close_matches(name, known, n=1, cutoff=0.8):
            raise DataError(f"{path}, line 1: unknown column {name!r}{nearest(name, known)}")
    if not columns:
        raise DataError(
            f"{path}, line 1: no column is a factor of {family.name} (those are {', '.join(known)})"
        )
    return columns


def _network(
    where: str,
    columns: Mapping[int, str],
    cells: Sequence[str],
    start: Genotype,
    num_classes: int,
) -> Network:
    """The network of one row; `where` names file and line."""
    family = get_family(start.family)
    factors: dict[str, float] = {}
    for index, name in columns.items():
        if index >= len(cells):
            raise DataError(f"{where}, column {name!r}: the row ends after {len(cells)} cells")
        if not cells[index].strip():
            continue
        value = _number(f"{where}, column {name!r}", cells[index])
        if name != CLASSES:
            factor, spelt = family.spell(name, value)
            factors[factor] = spelt
        elif value < 1 or value != int(value):
            legal = max(1, round(value))
            raise DataError(
                f"{where}, column {name!r}: {value:g} must be a whole number from 1; "
                f"the nearest is {legal}"
            )
        else:
            num_classes = int(value)
    genotype = start.replace(**factors)
    try:
        return Network(genotype, family.resolve(genotype, num_classes=num_classes))
    except FactorError as error:
        column = _offender(family, columns, factors, start)
        raise DataError(f"{where}, column {column!r}: {error}") from None


def _number(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {text.strip()!r} is not a number")
    return value


def _offender(
    family: Family, columns: Mapping[int, str], factors: Mapping[str, float], start: Genotype
) -> str:
    """The first column whose value alone is refused."""
    for name in columns.values():
        if name == CLASSES:
            continue
        factor, _ = family.spell(name, 1.0)
        try:
            family.check(start.replace(**{factor: factors.get(factor, start[factor])}))
        except FactorError:
            return name
    return ", ".join(columns.values())
