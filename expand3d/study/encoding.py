"""A trial as the one JSON value that the record keeps, and back.

Everything is plain JSON but the scores of single clips, which are many: they are stored by column
as JSON text, deflated, base64, beside the columns' names and the means. Numbers keep every bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from expand3d.core.genotype import canonical
from expand3d.core.scores import PackedScores, pack_scores
from expand3d.core.trial import Trial


def encode_trial(trial: Trial) -> dict[str, Any]:
    """JSON value of a trial, without NaN; ValueError where a clip's log-loss is not finite."""
    bare = {key: replace(value, scores=()) for key, value in trial.trainings.items()}
    data = replace(trial, trainings=bare).to_json()
    for key, training in trial.trainings.items():
        data["trainings"][str(key)]["scores"] = pack_scores(training.scores)
    encoded: dict[str, Any] = json.loads(canonical(without_nan(data)))
    return encoded


def decode_trial(data: Mapping[str, Any]) -> Trial:
    """The trial that `encode_trial` wrote."""
    trainings = {
        key: {**value, "scores": PackedScores(value["scores"])}
        for key, value in data["trainings"].items()
    }
    return Trial.from_json({**data, "trainings": trainings})


def without_nan(value: Any) -> Any:
    """The same JSON value with None for every number that is not finite (a diverged curve's)."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return value
