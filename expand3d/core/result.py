"""One training: its key, and its result: scores of single clips, cost, or why there are none."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from expand3d.core.classes import ByClass, by_class
from expand3d.core.errors import StudyError
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
#: The text of a training's key: "0/0", "flow/2/1", "0/0@800".
_KEY = re.compile(r"(?:([A-Za-z_]\w*)/)?(\d+)/(\d+)(?:@(\d+))?")


@dataclass(frozen=True)
class TrainingKey:
    """The training of a candidate that is meant: which fold is held out, and which seed repeats it.

    `part` is the part of the network that is trained by itself, None for the whole network.
    `visits` is the number of clip visits after which it is tested, None where it is trained to its
    recipe's end. `str()` of it is its text: "0/0" is the first fold and repeat, "flow/2/1@800" has
    everything.
    """

    fold: int = 0
    repeat: int = 0
    part: str | None = None
    visits: int | None = None

    def __post_init__(self) -> None:
        assert self.part is None or self.part.isidentifier(), f"no name of a part: {self.part!r}"

    def __str__(self) -> str:
        part = "" if self.part is None else f"{self.part}/"
        visits = "" if self.visits is None else f"@{self.visits}"
        return f"{part}{self.fold}/{self.repeat}{visits}"

    @classmethod
    def parse(cls, text: str) -> TrainingKey:
        """The key whose text this is; StudyError where it is none of this version's."""
        match = _KEY.fullmatch(text)
        if match is None:
            raise StudyError(
                f"the record has a training {text!r}, which this version of expand3d cannot read; "
                "a later one may have written it"
            )
        part, fold, repeat, visits = match.groups()
        return cls(int(fold), int(repeat), part, None if visits is None else int(visits))

    def until(self, visits: int | None) -> TrainingKey:
        """The same training, tested after so many visits; None stands for its recipe's end."""
        return self if visits == self.visits else dataclasses.replace(self, visits=visits)

    @property
    def reach(self) -> float:
        """Clip visits that it goes to, infinite where its recipe ends it."""
        return math.inf if self.visits is None else self.visits

    @property
    def file_name(self) -> str:
        """The text as it stands in names of files, of all its visits alike."""
        return str(self.until(None)).replace("/", "-")


@dataclass(frozen=True)
class Training:
    """The result of one network trained once (one part, one fold, one seed, so many visits).

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

    @cached_property
    def by_class(self) -> ByClass:
        """The count of each class among the clips' scores."""
        scores = self.scores
        return scores.by_class if isinstance(scores, PackedScores) else by_class(scores)

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
