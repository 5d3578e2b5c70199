"""What one training returns: scores of single clips, what they cost, or why there are none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Status = Literal["ok", "diverged", "out of memory", "timeout", "error"]


class ClipScore(NamedTuple):
    """One held-out clip: `rank` is the place of its true class (0 is top-1), `nll` in nats."""

    key: str
    label: int
    rank: int
    nll: float
    group: str | None = None


@dataclass(frozen=True)
class Training:
    """One network trained once (one fold, one seed).

    `scores` is empty unless `status` is "ok"; otherwise `reason` says in one line what happened.
    `training_macs` counts 3 x the forward cost per clip visit (forward, and two products in the
    backward pass), `test_macs` the forward cost of every test view. `peak_memory` is bytes of the
    process or the device. `curve` holds one mapping per epoch (epoch, loss, accuracy, lr,
    seconds). `notes` say what was adjusted on the way.
    """

    status: Status
    reason: str | None
    scores: tuple[ClipScore, ...]
    clip_visits: int
    training_macs: int
    seconds: float
    peak_memory: int
    curve: tuple[Mapping[str, float], ...] = ()
    notes: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    test_macs: int = 0

    def to_json(self) -> dict[str, Any]:
        data = dataclasses.asdict(self)
        data["scores"] = [list(score) for score in self.scores]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Training:
        scores = tuple(ClipScore(*score) for score in data["scores"])
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
