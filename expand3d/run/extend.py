"""A larger budget, or more trials, for a study that is there.

A strategy is a function of the record, so it is asked again under the larger limits: what it then
wants and the record knows is not trained again, and what it no longer wants stays in the record.
"""

from __future__ import annotations

import math
from typing import Any

from expand3d.core.budget import Budget
from expand3d.core.errors import StudyError
from expand3d.study.config import StudyConfig


def growth(before: StudyConfig, after: StudyConfig) -> dict[str, Any]:
    """The keys that grow, with their new values; StudyError where one would become less."""
    old, new = before.budget, after.budget
    if _counted(old) != _counted(new):
        raise StudyError(
            f"study {before.name!r} counts {_nouns(old)}, and {new.text!r} limits {_nouns(new)}; "
            "a budget is extended in what it limits, such as 4GFLOPs to 8GFLOPs"
        )
    amounts = [
        (had.amount, wanted.amount) for had, wanted in zip(old.limits, new.limits, strict=True)
    ]
    if any(wanted < had for had, wanted in amounts):
        raise StudyError(
            f"study {before.name!r} has the budget {old.text}, and {new.text} is less; "
            "extend it to more, or start a new study"
        )
    if after.trials < before.trials:
        raise StudyError(
            f"study {before.name!r} has trials = {before.trials}, and {after.trials} is less; "
            "extend it to more, or start a new study"
        )
    if _training_limit(after) < _training_limit(before):
        raise StudyError(
            f"study {before.name!r} has training_limit = {before.training_limit or 'none'}, and "
            f"{after.training_limit} is less; extend it to more, or start a new study"
        )
    grown: dict[str, Any] = {}
    if any(wanted > had for had, wanted in amounts):
        grown["budget"] = after.budget.text
    if after.trials > before.trials:
        grown["trials"] = after.trials
    if _training_limit(after) > _training_limit(before):
        limit = after.training_limit
        grown["training_limit"] = None if limit is None else limit.text
    return grown


def _training_limit(config: StudyConfig) -> float:
    limit = config.training_limit
    return math.inf if limit is None else limit.first.amount


def _counted(budget: Budget) -> list[tuple[str, str | None]]:
    return [(limit.quantity.key, limit.device) for limit in budget.limits]


def _nouns(budget: Budget) -> str:
    return " and ".join(
        limit.quantity.noun + (f" on {limit.device}" if limit.device else "")
        for limit in budget.limits
    )
