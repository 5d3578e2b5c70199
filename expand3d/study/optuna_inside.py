"""All that depends on Optuna's inside: its tables, its storage's transactions, its samplers' keys.

Optuna promises none of this. `tests/study/test_optuna_inside.py` fails where a version changes it,
and says what to look at. Everything else here goes by Optuna's documented interface.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage
    from sqlalchemy import Engine

#: The version of Optuna's tables that the queries below were written for.
SCHEMA = "v3.2.0.a"
#: The tables and columns that they read.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "studies": ("study_id", "study_name"),
    "study_user_attributes": ("study_user_attribute_id", "study_id", "key", "value_json"),
    "trials": ("trial_id", "study_id", "number", "state"),
    "trial_user_attributes": ("trial_id", "key", "value_json"),
}
#: How Optuna stores that nothing more is to come of a trial.
ENDED = {"COMPLETE", "PRUNED", "FAIL"}

#: Runs a query with values by name, and gives its rows.
Read = Callable[..., Sequence[Any]]


class TrialRow(NamedTuple):
    """One trial as it is stored: `attribute` is None where it does not have the one asked for."""

    identifier: int
    number: int
    finished: bool
    attribute: Any


def study_number(read: Read, name: str) -> int | None:
    """Number of the study called `name`, or None."""
    rows = read("SELECT study_id FROM studies WHERE study_name = :name", name=name)
    return rows[0][0] if rows else None


def study_names(read: Read) -> list[str]:
    """Every study's name."""
    return [name for (name,) in read("SELECT study_name FROM studies")]


def study_attributes(read: Read, study: int) -> dict[str, Any]:
    """The attributes of the study as a whole, by key, as they were written."""
    rows = read(
        "SELECT kept.key, value_json FROM study_user_attributes AS kept "
        "WHERE study_id = :study ORDER BY study_user_attribute_id",
        study=study,
    )
    return {key: json.loads(value) for key, value in rows}


def trial_rows(read: Read, study: int, attribute: str) -> list[TrialRow]:
    """Every trial of a study by number, with one of its attributes.

    Optuna's own reading makes objects of every parameter, value and distribution, too.
    """
    rows = read(
        "SELECT trials.trial_id, number, state, value_json FROM trials "
        "LEFT JOIN trial_user_attributes AS kept "
        "ON kept.trial_id = trials.trial_id AND kept.key = :attribute "
        "WHERE study_id = :study ORDER BY number",
        study=study,
        attribute=attribute,
    )
    return [
        TrialRow(identifier, number, state in ENDED, None if value is None else json.loads(value))
        for identifier, number, state, value in rows
    ]


def engine(storage: RDBStorage) -> Engine:
    """SQLAlchemy's connections of a storage."""
    return storage.engine


def before_each_commit(storage: RDBStorage, call: Callable[[Any], None]) -> None:
    """Have `call` run in each of the storage's transactions, with its session, before it ends."""
    from sqlalchemy import event

    event.listen(storage.scoped_session, "before_commit", call)


def generation_mark(sampler: BaseSampler, generation: int) -> dict[str, int]:
    """The system attribute by which a genetic sampler knows the generation of a trial."""
    return {f"{type(sampler).__name__}:generation": generation}


def select_parents(chooser: BaseSampler, study: Study, generation: int) -> None:
    """Let a genetic sampler choose the parents of `generation`, and leave them in the study."""
    from optuna.samplers._ga import BaseGASampler

    assert isinstance(chooser, BaseGASampler)
    chooser.get_parent_population(study, generation)
