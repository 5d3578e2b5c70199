"""Tables of an evaluation: a row per clip, and a row per class."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from expand3d.core.classes import by_class, confusions
from expand3d.core.result import ClipScore
from expand3d.core.scores import wilson


def clips_csv(
    scores: Sequence[ClipScore], names: Sequence[str], probabilities: NDArray[np.float64]
) -> str:
    """A row per clip: its class, the most probable one, ranks, and the probability of each."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["clip", "group", "class", "predicted", "rank", "nll", *(f"p {n}" for n in names)]
    )
    for score, row in zip(scores, probabilities, strict=True):
        predicted = names[score.predicted] if score.predicted is not None else ""
        known = [score.key, score.group or "", names[score.label], predicted]
        rows.writerow([*known, score.rank, f"{score.nll:.6g}", *(f"{p:.6g}" for p in row)])
    return text.getvalue()


def class_rows(scores: Sequence[ClipScore], names: Sequence[str]) -> list[dict[str, object]]:
    """A row per class with clips: accuracy with its 95% interval, and whom it is taken for."""
    taken: dict[int, str] = {}
    for pair in confusions(scores):
        taken.setdefault(pair.true, f"{names[pair.predicted]} ({pair.clips})")
    found: list[dict[str, object]] = []
    for label, count in by_class(scores).items():
        low, high = wilson(count.right, count.clips)
        found.append(
            {
                "class": names[label],
                "clips": count.clips,
                "right": int(count.right),
                "accuracy": count.right / count.clips,
                "low": low,
                "high": high,
                "taken for": taken.get(label, ""),
            }
        )
    return found


def classes_csv(scores: Sequence[ClipScore], names: Sequence[str]) -> str:
    """`class_rows` as CSV."""
    text = io.StringIO()
    found = class_rows(scores, names)
    rows = csv.DictWriter(text, list(found[0]), lineterminator="\n")
    rows.writeheader()
    for row in found:
        rows.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    return text.getvalue()
