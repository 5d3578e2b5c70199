"""Several studies as a picture: their frontiers, and what they reached for how much training."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D

from expand3d.core.quantity import LATENCY
from expand3d.report import plot
from expand3d.report.compare.comparison import ComparedStudy, StudyComparison
from expand3d.report.plot import INK, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h")
#: Dashes in units of the line's width.
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
#: Of every point, and of a winner.
EDGE: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.6}
WON: dict[str, Any] = {"markeredgecolor": INK, "markeredgewidth": 1.5}
#: Characters of a study in the legend, of all columns of the legend together, of the heading.
NAME, ROW, LINE = 75, 170, 170
#: Characters that a line with its marker takes in the legend.
HANDLE = 12
#: Names of lines over the axes that are nearer than this share of their width stand in two rows.
NEAR = 0.16


@dataclass(frozen=True)
class Look:
    """A study's colour, marker and dashes: no two of the first 72 alike, colour is never alone."""

    color: str
    marker: str
    dashes: Any


def look(place: int) -> Look:
    """The look of the study that was named in this place."""
    return Look(
        PALETTE[place % len(PALETTE)],
        MARKERS[place % len(MARKERS)],
        DASHES[place % len(DASHES)],
    )


def draw(comparison: StudyComparison) -> Figure:
    """The figure, 13 inches wide: frontiers on the left, hypervolume on the right."""
    rows = math.ceil((len(comparison.studies) + 1) / _columns(comparison))
    figure = plot.new_figure(13, 6.2 + 0.2 * rows)
    left, right = figure.subplots(1, 2)
    _heading(comparison, figure)
    _frame(comparison, left)
    plot.chance_line(left, comparison.first.chance)
    for place, study in enumerate(comparison.studies):
        _frontier(study, look(place), left, place)
        _curve(study, look(place), right, place)
    _budgets(comparison, left)
    _training(comparison, right)
    _legend(comparison, figure)
    return figure


def _heading(comparison: StudyComparison, figure: Figure) -> None:
    clips, classes = comparison.clips, len(comparison.first.classes)
    lines = [
        f"{clips} validation clips can resolve about "
        f"{100 * comparison.resolution.top1:.0f} points of top-1 between two networks; "
        "bars are 95% intervals of the winners"
    ]
    if comparison.unlike:
        lines.append(comparison.unlike)
    studies = len(comparison.studies)
    plot.title(
        figure,
        f"{studies} studies on the same {clips} validation clips of {classes} classes",
        [textwrap.shorten(line, LINE, placeholder=" ...") for line in lines],
    )


def _place(study: ComparedStudy, trial: Any) -> tuple[float, float]:
    view = study.view
    return trial.candidate.cost / view.quantity.scale, 100 * view.scores[trial.number].top1


def _frame(comparison: StudyComparison, axes: Axes) -> None:
    """Limits that hold every point, the winners' intervals and the budgets."""
    first = comparison.first
    scale = first.quantity.scale
    points = [_place(study, trial) for study in comparison.studies for trial in study.scored]
    costs = [x for x, _ in points] + [s.view.budget / scale for s in comparison.studies]
    heights = [100 * first.chance, *(y for _, y in points)]
    for study in comparison.studies:
        if study.view.best:
            heights += [100 * bound for bound in study.view.scores[study.view.best.number].top1_ci]
    low, high = min(costs), max(costs)
    decades = math.log10(high / low)
    room = 10 ** (0.05 * decades + 0.03)
    plot.cost_axis(axes, low / room, high * room)
    axes.set_ylim(max(0.0, min(heights) - 4), min(100.0, max(heights) + 4))
    timed = f", {first.timed_on}" if first.quantity is LATENCY else ""
    axes.set_xlabel(textwrap.fill(f"{first.quantity.axis}{timed}", 72))
    axes.set_ylabel("Top-1 accuracy (%)")


def _frontier(study: ComparedStudy, look: Look, axes: Axes, place: int) -> None:
    """The staircase with its points, faint points of the others, the winner with its interval."""
    on = study.frontier
    others = [_place(study, trial) for trial in study.scored if trial not in on]
    if others:
        axes.plot(
            *zip(*others, strict=True),
            look.marker,
            color=look.color,
            markersize=4.5,
            alpha=0.28,
            markeredgewidth=0,
            zorder=2,
        )
    points = [_place(study, trial) for trial in on]
    style = {"color": look.color, "linestyle": look.dashes, "linewidth": 1.7, "alpha": 0.8}
    plot.staircase(axes, points, zorder=3, **style)
    # Studies share networks, the base at least: later markers are smaller, so that all are seen.
    size = max(4.5, 9.5 - 0.7 * place)
    axes.plot(
        *zip(*points, strict=True),
        look.marker,
        color=look.color,
        markersize=size,
        zorder=4,
        **EDGE,
    )
    best = study.view.best
    if best is None:
        return
    x, y = _place(study, best)
    low, high = (100 * bound for bound in study.view.scores[best.number].top1_ci)
    axes.errorbar(
        [x],
        [y],
        yerr=[[y - low], [high - y]],
        fmt="none",
        ecolor=look.color,
        elinewidth=1.1,
        capsize=2.5,
        zorder=4.5,
    )
    axes.plot([x], [y], look.marker, color=look.color, markersize=12, zorder=5, **WON)


def _curve(study: ComparedStudy, look: Look, axes: Axes, place: int) -> None:
    """Hypervolume over training: a step at the end of every trial, the last of them marked."""
    xs = [0.0, *(step.training_macs / 1e12 for step in study.curve)]
    ys = [0.0, *(step.hypervolume for step in study.curve)]
    axes.step(
        xs,
        ys,
        where="post",
        color=look.color,
        linestyle=look.dashes,
        linewidth=1.9,
        alpha=0.9,
        zorder=3,
    )
    axes.plot(
        xs[-1:], ys[-1:], look.marker, color=look.color, markersize=9.5, zorder=4 + place, **EDGE
    )


def _training(comparison: StudyComparison, axes: Axes) -> None:
    """The axes of the curves, and the line where all studies have spent the same."""
    axes.set_xlabel("Multiply-adds of all trainings so far (TMACs)")
    axes.set_ylabel("Hypervolume (accuracy × decades of cost)")
    most = max(study.end.training_macs for study in comparison.studies) / 1e12
    axes.set_xlim(0, 1.04 * most if most else 1)
    axes.set_ylim(0, 1.08 * max(study.end.hypervolume for study in comparison.studies) or 1)
    plot.plain_ticks(axes)
    plot.grid(axes)
    equal = comparison.equal_training / 1e12
    _verticals([(equal, f"equal training: {equal:.3g} TMACs")], axes)


def _budgets(comparison: StudyComparison, axes: Axes) -> None:
    scale = comparison.first.quantity.scale
    budgets = sorted({study.view.budget / scale for study in comparison.studies})
    _verticals([(budget, f"budget {budget:.3g}") for budget in budgets], axes)


def _verticals(lines: list[tuple[float, str]], axes: Axes) -> None:
    """Dashed lines with their names above the axes, in a second row where two are near."""
    before, raised = -math.inf, False
    for x, text in lines:
        share = axes.transAxes.inverted().transform(axes.transData.transform((x, 0)))[0]
        raised = share - before < NEAR and not raised
        before = share
        side = "left" if share < 0.15 else "right" if share > 0.9 else "center"
        plot.vertical(axes, x, text, side=side, above=16 if raised else 4)


def _columns(comparison: StudyComparison) -> int:
    """Columns of the legend, as many as its longest text leaves room for."""
    longest = max(len(_legend_text(study)) for study in comparison.studies)
    return max(1, min(len(comparison.studies) + 1, 4, ROW // (longest + HANDLE)))


def _legend(comparison: StudyComparison, figure: Figure) -> None:
    """Every study with its strategy, and what the black edge means; the same in both panels."""
    handles = [
        Line2D(
            [],
            [],
            color=style.color,
            marker=style.marker,
            linestyle=style.dashes,
            linewidth=1.9,
            markersize=7.5,
            label=_legend_text(study),
            **EDGE,
        )
        for study, style in zip(comparison.studies, map(look, count()), strict=False)
    ]
    won: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 9, **WON}
    handles.append(Line2D([], [], color="white", label="winner of its study", **won))
    plot.legend(figure, handles, columns=_columns(comparison), handlelength=3.6, handletextpad=0.6)


def _legend_text(study: ComparedStudy) -> str:
    known = study.name == study.strategy
    text = study.name if known else f"{study.name}: {study.strategy}"
    return textwrap.shorten(text, NAME, placeholder=" ...")
