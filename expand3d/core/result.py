"""The result of one training: scores of single clips, its cost, or why there are no scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from expand3d.core.scores import (
    ClipScore,
    Means,
    PackedScores,
    means_of,
    scores_from_json,
    scores_to_json,
)

#: Multiply-adds of a clip visit in training / those of its forward pass: the backward pass takes
#: two products of the same size for the gradients.
TRAINING_FACTOR = 3

Status = Literal["ok", "diverged", "out of memory", "timeout", "error"]


@dataclass(frozen=True)
class Training:
    """One network trained once (one fold, one seed).

    `scores` is empty unless `status` is "ok"; otherwise `reason` says in one line what happened.
    `training_macs` counts TRAINING_FACTOR x the forward cost per clip visit, `test_macs` the
    forward cost of every test view. Of the `seconds`,
    `waited_seconds` went by without the next clips, `test_seconds` in the test. `peak_memory` is
    bytes of the process or the device, for this training. `curve` holds one mapping per epoch
    (epoch, loss, accuracy, lr, seconds). `notes` say what was adjusted on the way.
    """

    status: Status
    reason: str | None
    scores: Sequence[ClipScore]
    clip_visits: int
    training_macs: int
    seconds: float
    peak_memory: int
    curve: tuple[Mapping[str, float], ...] = ()
    notes: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    test_macs: int = 0
    waited_seconds: float = 0.0
    test_seconds: float = 0.0

    @cached_property
    def means(self) -> Means | None:
        """Means over the clips' scores; None without any."""
        scores = self.scores
        return scores.means if isinstance(scores, PackedScores) else means_of(scores)

    def to_json(self) -> dict[str, Any]:
        data = dataclasses.asdict(dataclasses.replace(self, scores=()))
        data["scores"] = scores_to_json(self.scores)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Training:
        scores = data["scores"]
        if not isinstance(scores, PackedScores):
            scores = scores_from_json(scores)
        return cls(
            **{
                **data,
                "scores": scores,
                "curve": tuple(data["curve"]),
                "notes": tuple(data["notes"]),
            }
        )


class Interrupted(Exception):
    """The run was asked to stop; the training's checkpoint is on disk."""
