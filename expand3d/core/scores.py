"""Scores of single clips: as values, as what they add up to, and packed as the record keeps them.

A study holds hundreds of scores for each of its trials and mostly needs their means alone. Packed
scores therefore carry their means, and the clips are unpacked when somebody asks for one.
"""

from __future__ import annotations

import base64
import json
import math
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, overload

from expand3d.core.classes import ByClass, ClassCount, by_class, largest_share, mean_class_accuracy
from expand3d.core.errors import StudyError
from expand3d.core.genotype import canonical

#: The standard normal's 97.5% point, for two-sided 95% intervals.
Z95 = 1.959963984540054
#: The format in which scores are written: columns by name. Format 1, which has no number, had these
#: columns by place.
FORMAT = 2
COLUMNS_OF_FORMAT_1 = ("key", "label", "rank", "nll", "group")


class ClipScore(NamedTuple):
    """One held-out clip: `rank` is the place of its true class (0 is top-1), `nll` in nats.

    `predicted` is the label that came first, None where an earlier version did not keep it.
    """

    key: str
    label: int
    rank: int
    nll: float
    group: str | None = None
    predicted: int | None = None


class Means(NamedTuple):
    """Mean scores over `clips` different clips: accuracies from 0 to 1, log-loss in nats."""

    clips: int
    top1: float
    top5: float
    nll: float


@dataclass(frozen=True)
class Summary:
    """Accuracies as fractions, mean log-loss in nats, over `clips` different clips.

    `mean_class` is the mean class accuracy, `chance` the share of the largest class: the accuracy
    of always saying it.
    """

    top1: float
    top5: float
    nll: float
    top1_ci: tuple[float, float]
    clips: int
    mean_class: float
    chance: float


def means_of(scores: Sequence[ClipScore]) -> Means | None:
    """The means over the clips, each of which is there once; None without any."""
    clips = len(scores)
    if not clips:
        return None
    return Means(
        clips,
        sum(score.rank < 1 for score in scores) / clips,
        sum(score.rank < 5 for score in scores) / clips,
        math.fsum(score.nll / clips for score in scores),  # the sum itself may overflow
    )


def pool(folds: Sequence[Sequence[Means]]) -> Means | None:
    """The means over the clips of all folds; each fold's trainings scored the same clips.

    Trainings of one fold (repeats) are averaged first. None where there is none.
    """
    if len(folds) == len(folds[0] if folds else ()) == 1:
        return folds[0][0]
    clips = sum(repeats[0].clips for repeats in folds)
    if not clips:
        return None

    def mean(place: int) -> float:
        return math.fsum(
            repeat[place] * repeat.clips / (clips * len(repeats))
            for repeats in folds
            for repeat in repeats
        )

    return Means(clips, mean(1), mean(2), mean(3))


def wilson(hits: float, trials: int) -> tuple[float, float]:
    """The 95% interval of a fraction, by Wilson's score (JASA 22, 1927)."""
    share, z2 = hits / trials, Z95**2 / trials
    centre = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(share * (1 - share) * z2 + z2**2 / 4) / (1 + z2)
    return max(0.0, centre - half), min(1.0, centre + half)


def summary(means: Means, classes: ByClass) -> Summary:
    """The means with the 95% interval of top-1, and what the counts of the classes add.

    Repeats on the same clips are not new clips: the interval is that of the pooled top-1 over as
    many clips as there are.
    """
    return Summary(
        means.top1,
        means.top5,
        means.nll,
        wilson(means.top1 * means.clips, means.clips),
        means.clips,
        mean_class_accuracy(classes),
        largest_share(classes),
    )


class PackedScores(Sequence[ClipScore]):
    """The scores that `pack_scores` wrote, in their order; unpacked when one is asked for."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        _refuse_newer(data)
        self._data = data

    @cached_property
    def means(self) -> Means | None:
        """Means over these scores, not unpacked where the record has them; None without any."""
        kept = self._data.get("means")
        if isinstance(kept, Mapping):
            return Means(len(self), kept["top1"], kept["top5"], kept["nll"])
        return Means(len(self), *kept) if kept else means_of(self._scores)

    @cached_property
    def by_class(self) -> ByClass:
        """The count of each class, not unpacked where the record has it."""
        kept = self._data.get("classes")
        if not kept:
            return by_class(self._scores)
        return {label: ClassCount(clips, right) for label, clips, right in kept}

    @cached_property
    def _scores(self) -> tuple[ClipScore, ...]:
        return tuple(unpack_scores(self._data))

    @overload
    def __getitem__(self, place: int) -> ClipScore: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[ClipScore, ...]: ...
    def __getitem__(self, place: int | slice) -> ClipScore | tuple[ClipScore, ...]:
        return self._scores[place]

    def __iter__(self) -> Iterator[ClipScore]:
        return iter(self._scores)

    def __len__(self) -> int:
        return int(self._data["clips"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackedScores | tuple) and self._scores == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PackedScores of {len(self)} clips"


def pack_scores(scores: Sequence[ClipScore]) -> dict[str, Any]:
    """Clips, their means, counts by class and scores as compact text, with the columns' names.

    Scores that were packed stay as they are, in an older format or with columns of a later version.
    ValueError where a log-loss is not finite: a score that is not a number is a failed training,
    which has a reason and no scores.
    """
    if isinstance(scores, PackedScores) and "means" in scores._data:
        return dict(scores._data)
    broken = [score.key for score in scores if not math.isfinite(score.nll)]
    if broken:
        raise ValueError(f"log-loss of {broken[0]!r} and {len(broken) - 1} others is not finite")
    text = canonical([list(column) for column in zip(*scores, strict=True)])
    means = means_of(scores)
    return {
        "format": FORMAT,
        "columns": list(ClipScore._fields),
        "clips": len(scores),
        "means": {"top1": means.top1, "top5": means.top5, "nll": means.nll} if means else None,
        "classes": [[label, *count] for label, count in by_class(scores).items()],
        "packed": base64.b64encode(zlib.compress(text.encode())).decode(),
    }


def unpack_scores(data: Mapping[str, Any]) -> list[ClipScore]:
    """The scores that `pack_scores` wrote, in their order."""
    _refuse_newer(data)
    columns = json.loads(zlib.decompress(base64.b64decode(data["packed"])))
    return _scores_of(_names(data), columns)


def scores_to_json(scores: Sequence[ClipScore]) -> dict[str, Any]:
    """The scores as plain JSON: the columns' names, and a row per clip."""
    rows = [list(score) for score in scores]
    return {"format": FORMAT, "columns": list(ClipScore._fields), "rows": rows}


def scores_from_json(data: Mapping[str, Any] | Sequence[Any]) -> tuple[ClipScore, ...]:
    """The scores that `scores_to_json` wrote; of format 1 these are rows alone."""
    if not isinstance(data, Mapping):
        data = {"rows": data}
    _refuse_newer(data)
    return tuple(_scores_of(_names(data), list(zip(*data["rows"], strict=True))))


def _names(data: Mapping[str, Any]) -> Sequence[str]:
    names: Sequence[str] = data.get("columns", COLUMNS_OF_FORMAT_1)
    return names


def _scores_of(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> list[ClipScore]:
    """A score per row of the columns; those that this version does not know are left out."""
    if not columns:
        return []
    found = dict(zip(names, columns, strict=False))  # rows of format 1 may lack the group
    # Every trial names the same clips; one copy of each key is enough in memory.
    found["key"] = [sys.intern(key) for key in found["key"]]
    clips, absent = len(found["key"]), ClipScore._field_defaults
    ordered = [
        found[name] if name in found else [absent[name]] * clips for name in ClipScore._fields
    ]
    return [ClipScore(*row) for row in zip(*ordered, strict=True)]


def _refuse_newer(data: Mapping[str, Any]) -> None:
    """StudyError where the scores are of a format that this version does not know."""
    found = data.get("format", 1)
    if found > FORMAT:
        raise StudyError(
            f"the record has clip scores of format {found}, which a later version of expand3d has "
            f"written; this one reads formats 1 to {FORMAT}"
        )
