"""The mistakes of a network: its clips, its classes, and who is taken for whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from expand3d.core.classes import ByClass, Confusion, by_class, confusions
from expand3d.core.scores import ClipScore
from expand3d.report.study.view import StudyView

#: A clip's scores, one per repeat, by its key.
ByClip = Mapping[str, Sequence[ClipScore]]


class Wrong(NamedTuple):
    """A clip that was wrong in `times` of `of` trainings, mostly taken for `predicted`.

    `predicted` is None where an earlier version did not keep it. `nll` is the mean in nats.
    """

    key: str
    label: int
    predicted: int | None
    times: int
    of: int
    nll: float


class ClassRow(NamedTuple):
    """A class: its clips, how many are right (a mean over repeats), and whom it is taken for.

    `taken_for` is the commonest wrong class and `taken` how often; None and 0 where there is none.
    """

    label: int
    clips: int
    right: float
    taken_for: int | None
    taken: int


@dataclass(frozen=True)
class Judged:
    """The scores that the page's confusions are of, and the sentence that says which they are."""

    scores: tuple[ClipScore, ...]
    of: str

    @property
    def by_clip(self) -> dict[str, list[ClipScore]]:
        found: dict[str, list[ClipScore]] = {}
        for score in self.scores:
            found.setdefault(score.key, []).append(score)
        return found


def judged(view: StudyView) -> Judged:
    """The winner's scores: of the test of its last training, else of the clips that chose it."""
    if view.final and view.final.score:
        return Judged(tuple(view.final.training.scores), "the test of the winner's last training")
    if view.best is None:
        return Judged((), "no network has a score yet")
    scores = tuple(score for found in view.best.scores().values() for score in found)
    return Judged(scores, "the winner on the clips that chose it")


def unpredicted(mine: Judged) -> bool:
    """True where an earlier version did not keep what some clip was taken for."""
    return any(score.predicted is None for score in mine.scores)


def wrong_clips(scores: ByClip) -> tuple[Wrong, ...]:
    """The clips that a training got wrong, the worst log-loss first."""
    found = []
    for key, repeats in scores.items():
        wrong = [score for score in repeats if score.rank > 0]
        if not wrong:
            continue
        taken = Counter(score.predicted for score in wrong)
        nll = sum(score.nll for score in repeats) / len(repeats)
        predicted = taken.most_common(1)[0][0]
        found.append(Wrong(key, wrong[0].label, predicted, len(wrong), len(repeats), nll))
    return tuple(sorted(found, key=lambda wrong: (-wrong.nll, wrong.key)))


def class_table(counts: ByClass, scores: ByClip) -> tuple[ClassRow, ...]:
    """A row per class that has clips, the least accurate first."""
    taken: dict[int, Confusion] = {}
    for pair in confusions(score for repeats in scores.values() for score in repeats):
        taken.setdefault(pair.true, pair)
    rows = []
    for label, count in counts.items():
        pair_of = taken.get(label)
        rows.append(
            ClassRow(
                label,
                count.clips,
                count.right,
                pair_of.predicted if pair_of else None,
                pair_of.clips if pair_of else 0,
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.right / row.clips, row.label)))


def confusion_rows(scores: Sequence[ClipScore], labels: Sequence[int]) -> list[list[int]] | None:
    """Clips by true class (rows) and most probable class (columns) of `labels`.

    None where a predicted class is unknown.
    """
    if any(score.predicted is None for score in scores):
        return None
    pairs = {(pair.true, pair.predicted): pair.clips for pair in confusions(scores)}
    right = {label: round(count.right) for label, count in by_class(scores).items()}
    pairs.update({(label, label): clips for label, clips in right.items()})
    return [[pairs.get((true, said), 0) for said in labels] for true in labels]


def worst_labels(scores: Sequence[ClipScore], most: int) -> list[int]:
    """At most so many labels, those with the most mistakes, in their order."""
    mistakes: Counter[int] = Counter()
    for score in scores:
        mistakes[score.label] += 0
        if score.predicted is not None:
            mistakes[score.predicted] += 0
        if score.rank > 0:
            mistakes[score.label] += 1
            if score.predicted is not None:
                mistakes[score.predicted] += 1
    ranked = sorted(mistakes, key=lambda label: (-mistakes[label], label))
    return sorted(ranked[:most])
