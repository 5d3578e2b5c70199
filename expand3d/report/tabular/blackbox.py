"""A table as a blackbox of Syne Tune, so that methods of others run on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from expand3d.core.errors import ConfigError
from expand3d.search.tabular.table import Row, Table

if TYPE_CHECKING:
    from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular

#: The hyperparameter: the place of a network among those of the table, the cheapest first.
NETWORK = "network"
#: The family, which all networks of a table share.
FAMILY = "family"
#: The fidelity: the place of a rung, from 1.
RUNG = "rung"
#: What is known of a network after a rung; `tmacs` is what was spent on it up to there.
OBJECTIVES = ("val_nll", "val_error", "test_nll", "test_error", "macs", "tmacs")


def blackbox(table: Table) -> BlackboxTabular:
    """The table as Syne Tune's `BlackboxTabular`.

    Every value of the hyperparameter is a network of the table, so that nobody needs a surrogate.
    Seeds are those of the network with most; one with fewer repeats its own in turn. ConfigError
    where Syne Tune is not installed.
    """
    try:
        import pandas
        from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular
        from syne_tune.config_space import choice, randint
    except ImportError as error:
        raise ConfigError(
            f"a blackbox needs Syne Tune (no module {error.name}): "
            "pip install 'syne-tune[blackbox-repository]'"
        ) from None

    rows, family = networks(table), table.expansion.family
    seeds = max(len(row.seeds(table.whole)) for row in rows)
    values = [
        [
            [_objectives(table, row, seed, visits) for visits in table.visits]
            for seed in range(seeds)
        ]
        for row in rows
    ]
    return BlackboxTabular(
        # Syne Tune looks up configurations of two hyperparameters or more.
        hyperparameters=pandas.DataFrame({NETWORK: range(len(rows)), FAMILY: family}),
        configuration_space={NETWORK: randint(0, len(rows) - 1), FAMILY: choice([family])},
        fidelity_space={RUNG: randint(1, len(table.visits))},
        objectives_evaluations=np.array(values),
        objectives_names=list(OBJECTIVES),
    )


def networks(table: Table) -> tuple[Row, ...]:
    """The rows by the numbers that the blackbox gives them: by cost, then by name."""
    rows = table.rows.values()
    return tuple(sorted(rows, key=lambda row: (row.candidate.macs, row.candidate.digest)))


def _objectives(table: Table, row: Row, seed: int, visits: int) -> tuple[Any, ...]:
    there = row.seeds(visits)
    cell = row.cells[there[seed % len(there)], visits]
    return (
        float(cell.val_nll.mean()),
        1 - float(cell.val_right.mean()),
        cell.test_nll,
        1 - cell.test_top1,
        row.candidate.macs,
        _spent(table, row, visits) / 1e12,
    )


def _spent(table: Table, row: Row, visits: int) -> float:
    """Multiply-adds of a training that is tested at each rung up to this one."""
    total, before = 0.0, 0
    for rung in table.visits:
        total += table.further(row.candidate, before, rung)
        before = rung
        if rung == visits:
            break
    return total
