"""Trainings in full in a study's record, one for each trial that had one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expand3d.study.record import Record

#: What the training in full of the trial with the number that follows gave.
TRAINED = "trained"

#: The attribute with the winner's trainings on parts of the training clips.
LEARNING = "learning curve"


def trained(record: Record) -> dict[int, dict[str, Any]]:
    """The values that `put_trained` has kept, by the number of the trial."""
    found = {value["trial"]: value for value in record.attributes(TRAINED)}
    return dict(sorted(found.items()))


def put_trained(record: Record, value: Mapping[str, Any]) -> None:
    """Keep what the training in full of a trial gave, in place of an earlier one's."""
    record.set_attribute(f"{TRAINED}/{value['trial']}", dict(value))
