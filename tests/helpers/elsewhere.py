"""Latencies of another device, made by a rule, as its table would be brought from there."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from expand3d.core.genotype import Plan
from expand3d.measure.table import COLUMNS
from expand3d.networks import get_family

X3D = get_family("x3d")
#: As many as tell a constant, multiply-adds and activations apart.
MEASURED = (
    {},
    {"gamma_w": 2},
    {"gamma_s": 2},
    {"gamma_t": 4, "gamma_tau": 4},
    {"gamma_d": 2.2},
    {"gamma_b": 2.25, "gamma_t": 8, "gamma_tau": 4},
)


def plans(num_classes: int) -> list[Plan]:
    """The networks that the table has."""
    genotypes = (X3D.base.replace(**changes) for changes in MEASURED)
    return [X3D.resolve(genotype, num_classes=num_classes) for genotype in genotypes]


def by_rule(plan: Plan) -> float:
    """Milliseconds of a device of our own: 2 at least, 5 per GMAC and 3 per 10 M activations."""
    cost = X3D.cost(plan)
    return 2 + 5 * cost.macs / 1e9 + 3 * cost.activations / 1e7


def write_table(file: Path, of: Sequence[Plan], ms: Callable[[Plan], float] = by_rule) -> Path:
    """`file`, which holds a row of each network."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow([*COLUMNS, "hardware", "setting"])
        for plan in of:
            text, time = json.dumps(plan.to_json()), ms(plan)
            row = (plan.digest, text, "pi5", time, 0.9 * time, 1.1 * time, 15, 4)
            writer.writerow([*row, "Cortex-A76", "float32"])
    return file
