"""A trial as the one JSON value that the record keeps, and back.

Everything is plain JSON but the scores of single clips, which are many: they are stored by column
(keys, labels, ranks, nlls, groups) as JSON text, deflated, base64. Numbers keep every bit.
"""

from __future__ import annotations

import base64
import json
import math
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from expand3d.genotype import canonical
from expand3d.study.trial import Trial
from expand3d.train.result import ClipScore


def encode_trial(trial: Trial) -> dict[str, Any]:
    """JSON value of a trial, without NaN; ValueError where a clip's log-loss is not finite."""
    bare = {key: replace(value, scores=()) for key, value in trial.trainings.items()}
    data = replace(trial, trainings=bare).to_json()
    for key, training in trial.trainings.items():
        data["trainings"][key]["scores"] = pack_scores(training.scores)
    encoded: dict[str, Any] = json.loads(canonical(without_nan(data)))
    return encoded


def decode_trial(data: Mapping[str, Any]) -> Trial:
    """The trial that `encode_trial` wrote."""
    trainings = {
        key: {**value, "scores": unpack_scores(value["scores"])}
        for key, value in data["trainings"].items()
    }
    return Trial.from_json({**data, "trainings": trainings})


def pack_scores(scores: Sequence[ClipScore]) -> dict[str, Any]:
    """Number of clips and their scores as compact text; ValueError where a log-loss is not finite.

    A score that is not a number is a failed training, which has a reason and no scores.
    """
    broken = [score.key for score in scores if not math.isfinite(score.nll)]
    if broken:
        raise ValueError(f"log-loss of {broken[0]!r} and {len(broken) - 1} others is not finite")
    text = canonical([list(column) for column in zip(*scores, strict=True)])
    packed = base64.b64encode(zlib.compress(text.encode())).decode()
    return {"clips": len(scores), "packed": packed}


def unpack_scores(data: Mapping[str, Any]) -> list[ClipScore]:
    """The scores that `pack_scores` wrote, in their order."""
    columns = json.loads(zlib.decompress(base64.b64decode(data["packed"])))
    if not columns:
        return []
    # Every trial names the same clips; one copy of each key is enough in memory.
    keys = map(sys.intern, columns[0])
    return [ClipScore(*row) for row in zip(keys, *columns[1:], strict=True)]


def without_nan(value: Any) -> Any:
    """The same JSON value with None for every number that is not finite (a diverged curve's)."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return value
