"""Accuracy by class: what each class got right, their mean, guessing, and who is taken for whom."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol


class Scored(Protocol):
    """A clip's label, the place of its true class (0 is on top), and the class that was on top."""

    @property
    def label(self) -> int: ...

    @property
    def rank(self) -> int: ...

    @property
    def predicted(self) -> int | None: ...


class ClassCount(NamedTuple):
    """Clips of one class, and how many of them have it on top; a mean over repeats."""

    clips: int
    right: float


#: What was counted of each class, by its label; a class without a clip is not there.
ByClass = Mapping[int, ClassCount]


def by_class(scores: Iterable[Scored]) -> ByClass:
    """The count of each class among the scores, by label."""
    clips: Counter[int] = Counter()
    right: Counter[int] = Counter()
    for score in scores:
        clips[score.label] += 1
        right[score.label] += score.rank == 0
    return {label: ClassCount(clips[label], right[label]) for label in sorted(clips)}


def pool_classes(folds: Sequence[Sequence[ByClass]]) -> ByClass:
    """The count over the clips of all folds; trainings of one fold (repeats) are averaged."""
    clips: Counter[int] = Counter()
    right: dict[int, float] = {}
    for repeats in folds:
        for label, count in repeats[0].items():
            clips[label] += count.clips
        for label in repeats[0]:
            found = [repeat[label].right for repeat in repeats if label in repeat]
            right[label] = right.get(label, 0) + math.fsum(found) / len(found)
    return {label: ClassCount(clips[label], right[label]) for label in sorted(clips)}


def mean_class_accuracy(counts: ByClass) -> float:
    """The mean of the accuracies of the classes that have clips, 0 to 1; one has at least."""
    return math.fsum(count.right / count.clips for count in counts.values()) / len(counts)


def mean_class_interval(counts: ByClass) -> tuple[float, float]:
    """The 95% interval of the mean class accuracy, whose classes are drawn each by itself.

    The normal one around the mean, with each class's variance after two more clips right and two
    wrong (Agresti and Coull, 1998), so that a class that is all right has one too.
    """
    mean, spread = mean_class_accuracy(counts), 0.0
    for count in counts.values():
        clips = count.clips + 4
        share = (count.right + 2) / clips
        spread += share * (1 - share) / clips
    half = 1.959963984540054 * math.sqrt(spread) / len(counts)
    return max(0.0, mean - half), min(1.0, mean + half)


def largest_share(counts: ByClass) -> float:
    """The share of the largest class, above 0 to 1: the accuracy of always saying it.

    No guess that knows how often classes occur and sees nothing does better.
    """
    clips = [count.clips for count in counts.values()]
    return max(clips) / sum(clips)


class _Said(NamedTuple):
    label: int
    predicted: int


class Confusion(NamedTuple):
    """Clips of class `true` for which `predicted` was most probable, of `of` clips that it has."""

    true: int
    predicted: int
    clips: int
    of: int


def confusions(scores: Iterable[Scored]) -> tuple[Confusion, ...]:
    """The pairs of different classes that were confused, commonest first.

    Empty where nothing was confused, or where an earlier version kept no predicted classes.
    """
    known = [_Said(score.label, score.predicted) for score in scores if score.predicted is not None]
    of = Counter(score.label for score in known)
    pairs = Counter(score for score in known if score.predicted != score.label)
    return tuple(
        Confusion(*pair, clips, of[pair.label])
        for pair, clips in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    )
