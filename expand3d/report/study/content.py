"""All that the script of a study's page draws, as JSON that never outgrows the page.

What matters most comes first: every network's numbers, then curves, then mistakes, then pictures,
each of the winner, the path and the frontier before the others. What finds no room is counted.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from expand3d.core.classes import confusions
from expand3d.core.quantity import LATENCY
from expand3d.core.result import Training
from expand3d.core.trial import Trial
from expand3d.cost.price import cost_text
from expand3d.report.study.mistakes import (
    Judged,
    class_table,
    confusion_rows,
    judged,
    unpredicted,
    worst_labels,
    wrong_clips,
)
from expand3d.report.study.naming import network_text
from expand3d.report.study.thumbnails import FRAMES, HEIGHT, WIDTH, Thumbnails
from expand3d.report.study.view import Final, StudyView
from expand3d.search.statistics import axes_of

#: Points of a curve, wrong clips that a network lists, classes of a matrix, confused pairs, and
#: clips of a pair, at most.
POINTS, WRONG, MATRIX, PAIRS, MEMBERS = 60, 40, 40, 12, 4
#: Pictures of clips, at most, and their bytes.
PICTURES, PICTURE_BYTES = 48, 600_000

NO_PREDICTIONS = (
    "this record was made by an earlier version, which did not keep what a clip was taken for"
)


def as_json(value: Any) -> str:
    """The value as JSON that may stand inside a script element: no '<', '>' or '&' in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


class Room:
    """The bytes that are left for the JSON of a page."""

    def __init__(self, left: int) -> None:
        self.left = left

    def part(self, share: float) -> Room:
        """Room of so great a share of what is left; what is taken there is to be taken here."""
        return Room(int(self.left * share))

    def takes(self, value: Any) -> bool:
        """True where the value fits; it then has its place."""
        size = len(as_json(value).encode()) + 1
        if size > self.left:
            return False
        self.left -= size
        return True


def page_content(
    view: StudyView, *, room: int, thumbnails: Thumbnails | None = None
) -> dict[str, Any]:
    """The study for the page's script, in about `room` bytes of JSON; pictures where there are any.

    Accuracies run from 0 to 1, log-loss is in nats, cost in what `quantity` names, time in seconds.
    """
    clips, left = _Clips(), Room(room)
    networks = {trial.number: _network(view, trial) for trial in _by_weight(view)}
    shown = _fitting(networks, left, 0.5)
    _add(shown, {n: {"curves": c} for n, c in _curves(view, shown)}, left, 0.5)
    mine = judged(view)
    matrix, pairs = _confusion(mine, clips)
    left.takes([view.classes, matrix, pairs])
    details = _details(view, shown, clips, left.part(0.5))
    pictures, why = _pictures(clips, pairs, thumbnails, min(left.left // 2, PICTURE_BYTES))
    return {
        "study": view.name,
        "state": view.state,
        "metric": view.metric,
        "quantity": {
            "key": view.quantity.key,
            "unit": view.quantity.unit,
            "scale": view.quantity.scale,
            "timed_on": view.timed_on if view.quantity is LATENCY else None,
        },
        "budget": view.budget,
        "budget_text": view.budget_text,
        "chance": view.chance,
        "hypervolume": view.hypervolume,
        "classes": list(view.classes),
        "best": view.best.number if view.best else None,
        "frontier": [trial.number for trial in view.frontier],
        "path": list(view.path),
        "trials": sorted(shown.values(), key=lambda each: each["number"]),
        "later": list(_later(view)),
        "mistakes": details,
        "judged": mine.of,
        "matrix": matrix,
        "pairs": pairs,
        "clips": clips.listed,
        "pictures": pictures,
        "picture": {"frames": FRAMES, "width": WIDTH, "height": HEIGHT},
        "notes": {
            "pictures": why,
            "predictions": NO_PREDICTIONS if unpredicted(mine) else None,
            "networks_left_out": len(networks) - len(shown),
            "curves_left_out": sum("curves" not in each for each in shown.values()),
            "mistakes_left_out": sum(
                str(number) not in details for number in view.scores if number in shown
            ),
        },
    }


def _by_weight(view: StudyView) -> list[Trial]:
    """Every trial: the winner, the path, the frontier, baselines, then the others."""
    first = [view.best.number] if view.best else []
    first += view.path
    first += [trial.number for trial in (*view.frontier, *view.baselines)]
    place = {number: rank for rank, number in enumerate(dict.fromkeys(first))}
    return sorted(view.trials, key=lambda t: (place.get(t.number, len(place)), t.number))


def _network(view: StudyView, trial: Trial) -> dict[str, Any]:
    """One trial's numbers; a score that is missing is null, with the reason."""
    candidate, score = trial.candidate, view.scores.get(trial.number)
    parent, latency = view.parent(candidate), candidate.latency
    return {
        "number": trial.number,
        "state": trial.state,
        "why": None if score else trial.why,
        "origin": view.origin(trial),
        "step": candidate.step,
        "role": candidate.role,
        "axes": list(axes_of(candidate)),
        "baseline": view.names.get(trial.number),
        "parent": parent.number if parent else None,
        "network": network_text(candidate),
        "cost": candidate.cost,
        "cost_text": cost_text(candidate),
        "params": trial.cost.get("params"),
        "latency_ms": [latency.low, latency.median, latency.high] if latency else None,
        "top1": score.top1 if score else None,
        "top1_ci": list(score.top1_ci) if score else None,
        "mean_class_accuracy": score.mean_class if score else None,
        "nll": score.nll if score else None,
        "clips": score.clips if score else None,
        "seconds": trial.seconds,
    }


def _fitting(
    networks: Mapping[int, dict[str, Any]], left: Room, share: float
) -> dict[int, dict[str, Any]]:
    """The networks that fit in a share of the room, the first before the others."""
    part = left.part(share)
    found = {number: each for number, each in networks.items() if part.takes(each)}
    left.left -= int(left.left * share) - part.left
    return found


def _add(
    shown: dict[int, dict[str, Any]], more: Mapping[int, dict[str, Any]], left: Room, share: float
) -> None:
    """Add to each network what fits in a share of the room."""
    for number, values in _fitting(more, left, share).items():
        shown[number] |= values


def _curves(
    view: StudyView, shown: Mapping[int, Any]
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    for number in shown:
        trial = view.trial(number)
        yield (
            number,
            [
                {
                    "training": str(key),
                    **_curve(run),
                    "tests": [
                        [each.clip_visits, each.means.top1, each.means.nll]
                        for other, each in sorted(
                            trial.trainings.items(), key=lambda item: item[0].reach
                        )
                        if other.until(None) == key and each.means is not None
                    ],
                }
                for key, run in trial.furthest.items()
            ],
        )


def _curve(run: Training) -> dict[str, Any]:
    """Clip visits of a training, and [epoch, loss, accuracy, validation top-1] of its epochs."""
    rows = [
        [row.get("epoch"), *(_short(row.get(key)) for key in ("loss", "accuracy", "val_top1"))]
        for row in _thinned(run.curve)
    ]
    return {"visits": run.clip_visits, "epochs": rows}


def _thinned(rows: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    if len(rows) <= POINTS:
        return list(rows)
    return [rows[round(k * (len(rows) - 1) / (POINTS - 1))] for k in range(POINTS)]


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)


def _later(view: StudyView) -> Iterator[dict[str, Any]]:
    """The trainings after the search: the winner's last one, and those in full."""
    if view.final:
        yield _one_later("last training", view.final)
    for full in view.trained.values():
        yield _one_later("trained in full", full)


def _one_later(name: str, final: Final) -> dict[str, Any]:
    score = final.score
    return {
        "name": name,
        "trial": final.trial,
        "measured_on": final.measured_on,
        "why": final.training.reason,
        "top1": score.top1 if score else None,
        "top1_ci": list(score.top1_ci) if score else None,
        "mean_class_accuracy": score.mean_class if score else None,
        "nll": score.nll if score else None,
        "clips": score.clips if score else None,
        **_curve(final.training),
    }


# Mistakes


class _Clips:
    """The clips that the page names, each once."""

    def __init__(self) -> None:
        self.listed: list[dict[str, Any]] = []
        self._places: dict[str, int] = {}
        self._uses: Counter[int] = Counter()

    def place(self, key: str, label: int) -> int:
        """The clip's place in the list, where it is now."""
        if key not in self._places:
            self._places[key] = len(self.listed)
            self.listed.append({"key": key, "label": label})
        self._uses[self._places[key]] += 1
        return self._places[key]

    def most_named(self, first: Iterable[int]) -> list[int]:
        """Every place: those of `first`, then those that are named most."""
        places = sorted(self._uses, key=lambda place: (-self._uses[place], place))
        return list(dict.fromkeys((*first, *places)))


def _confusion(mine: Judged, clips: _Clips) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The matrix, and the most confused pairs with some of their clips; none where unknown."""
    labels = worst_labels(mine.scores, MATRIX)
    rows = confusion_rows(mine.scores, labels)
    if not mine.scores or rows is None:
        return None, []
    wrong = wrong_clips(mine.by_clip)
    pairs = [
        {
            **pair._asdict(),
            "members": [
                clips.place(each.key, each.label)
                for each in wrong
                if (each.label, each.predicted) == (pair.true, pair.predicted)
            ][:MEMBERS],
        }
        for pair in confusions(mine.scores)[:PAIRS]
    ]
    of = len({score.label for score in mine.scores})
    return {"labels": labels, "rows": rows, "classes": of}, pairs


def _details(
    view: StudyView, shown: Mapping[int, Any], clips: _Clips, room: Room
) -> dict[str, dict[str, Any]]:
    """Classes and wrong clips by the number of a scored network, while there is room."""
    found: dict[str, dict[str, Any]] = {}
    for trial in (view.trial(number) for number in shown if number in view.scores):
        scores = trial.scores()
        wrong = wrong_clips(scores)
        classes = [list(row) for row in class_table(trial.by_class, scores)]
        if not room.takes([classes, [[*each, "place"] for each in wrong[:WRONG]]]):
            break
        found[str(trial.number)] = {
            "classes": classes,
            "wrong": [
                [clips.place(each.key, each.label), each.predicted, each.times, each.of]
                for each in wrong[:WRONG]
            ],
            "wrong_of": [len(wrong), len(scores)],
        }
    return found


def _pictures(
    clips: _Clips, pairs: list[dict[str, Any]], thumbnails: Thumbnails | None, room: int
) -> tuple[dict[str, str], str | None]:
    """Pictures by the place of their clip, and the reason where there are none."""
    if thumbnails is None or not clips.listed:
        return {}, None
    if thumbnails.absent:
        return {}, thumbnails.absent
    found: dict[str, str] = {}
    for place in clips.most_named(member for pair in pairs for member in pair["members"]):
        if len(found) == PICTURES:
            break
        picture = thumbnails.picture(clips.listed[place]["key"])
        if picture is None:
            continue
        room -= len(picture) + 10
        if room < 0:
            break
        found[str(place)] = picture
    return found, None if found else "the clips are not those of the study any more"
