"""Pictures of an evaluation: who is taken for whom, and the clips that were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from expand3d.core.classes import confusions
from expand3d.core.result import ClipScore
from expand3d.data.manifest import Manifest, Video
from expand3d.data.show import contact_sheet
from expand3d.report.plot import INK, new_figure, save_figures, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Classes whose cells have room for numbers, and for names.
NUMBERED, NAMED = 16, 60
#: Pairs of classes of the contact sheet, and clips of each.
PAIRS, CLIPS = 8, 2


def confusion_matrix(scores: Sequence[ClipScore], classes: int) -> NDArray[np.int64]:
    """Clips by true class (rows) and most probable class (columns)."""
    found = np.zeros((classes, classes), dtype=np.int64)
    for score in scores:
        assert score.predicted is not None, "scores of this version"
        found[score.label, score.predicted] += 1
    return found


def draw_confusion(
    scores: Sequence[ClipScore], names: Sequence[str], *, lines: Sequence[str]
) -> Figure:
    """The confusion matrix as a figure, each row in shares of its class."""
    counts = confusion_matrix(scores, len(names))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(5.0, 0.42 * len(names) + 2.5), 16.0)
    figure = new_figure(side + 1.2, side + 0.8)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("most probable class")
    axes.set_ylabel("true class")
    if len(names) <= NAMED:
        size = 9 if len(names) <= 25 else 6
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(range(len(names)), names, fontsize=size, parse_math=False)
    if len(names) <= NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.5 else INK
                axes.text(column, row, str(count), ha="center", va="center", color=colour)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
    title(figure, "Who is taken for whom", lines)
    return figure


def write_pictures(
    scores: Sequence[ClipScore],
    videos: Sequence[Video],
    names: Sequence[str],
    folder: Path,
    *,
    lines: Sequence[str],
) -> list[Path]:
    """The paths of confusion.png and .svg and, where a clip is confused, of confused.png."""
    paths = save_figures(lambda: draw_confusion(scores, names, lines=lines), folder, "confusion")
    pairs = confusions(scores)[:PAIRS]
    if not pairs:
        return paths
    places = {(pair.true, pair.predicted): number for number, pair in enumerate(pairs)}
    found = []
    for score, video in zip(scores, videos, strict=True):
        assert score.predicted is not None, "scores of this version"
        place = places.get((score.label, score.predicted))
        if place is not None:
            found.append(Video(video.path, video.key, place, video.group, video.split))
    called = tuple(f"{names[pair.true]} as {names[pair.predicted]}" for pair in pairs)
    sheet = Manifest(tuple(found), called, "the clips that were confused")
    return [*paths, contact_sheet(sheet, folder / "confused.png", classes=PAIRS, clips=CLIPS)]
