"""The price of a race that has no steps: that of a sampler's batches, all together."""

from __future__ import annotations

from typing import Any

from expand3d.report.study.view import StudyView
from expand3d.search.race_price import price_text, raced


def race_text(view: StudyView) -> str | None:
    """One line: the multiply-adds that the race took, and those of whole trainings; or None."""
    found = None if view.steps else raced(view.asked)
    return None if found is None else f"the race: {price_text(*found)}"


def race_json(view: StudyView) -> dict[str, Any]:
    """The same for a script, under "race"; empty where nothing raced, or a step says it."""
    found = None if view.steps else raced(view.asked)
    if found is None:
        return {}
    return {"race": {"macs": found[0], "macs_of_whole_trainings": found[1]}}
