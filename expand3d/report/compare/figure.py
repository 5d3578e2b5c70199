"""Several studies as a picture: their frontiers, and what they reached for how much training."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from expand3d.cost.quantity import LATENCY
from expand3d.report.compare.comparison import ComparedStudy, StudyComparison
from expand3d.report.study.canvas import FAINT, INK, MUTED, PALETTE, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
    """How a study is drawn: no two of the first 72 alike, and colour is never alone."""

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


def save_comparison_figures(comparison: StudyComparison, folder: Path) -> list[Path]:
    """Write comparison.png (200 dots per inch) and comparison.svg and return their paths."""
    paths = [folder / "comparison.png", folder / "comparison.svg"]
    with rc_context(STYLE):
        figure = draw(comparison)
        for path in paths:
            # No date, so that the same studies give the same file.
            figure.savefig(path, dpi=200, metadata={"Date": None} if path.suffix == ".svg" else {})
            figure.set_layout_engine("none")  # every file in the layout of the first
    return paths


def draw(comparison: StudyComparison) -> Figure:
    """The figure, 13 inches wide: frontiers on the left, hypervolume on the right."""
    rows = math.ceil((len(comparison.studies) + 1) / _columns(comparison))
    figure = Figure(
        figsize=(13, 6.2 + 0.2 * rows), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    )
    left, right = figure.subplots(1, 2)
    _heading(comparison, figure)
    _frame(comparison, left)
    _chance(comparison, left)
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
    figure.suptitle(
        f"{len(comparison.studies)} studies on the same {clips} validation clips of "
        f"{classes} classes" + "\n" * len(lines),
        x=0.012,
        ha="left",
        fontsize=14,
        fontweight="bold",
    )
    text = "\n".join(textwrap.shorten(line, LINE, placeholder=" ...") for line in lines)
    top = 1 - 0.42 / figure.get_figheight()
    figure.text(
        0.012, top, text, fontsize=9.8, color=MUTED, va="top", linespacing=1.45, in_layout=False
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
    axes.set_xscale("log")
    axes.set_xlim(low / 10 ** (0.05 * decades + 0.03), high * 10 ** (0.05 * decades + 0.03))
    axes.set_ylim(max(0.0, min(heights) - 4), min(100.0, max(heights) + 4))
    timed = f", {first.timed_on}" if first.quantity is LATENCY else ""
    axes.set_xlabel(textwrap.fill(f"{first.quantity.axis}{timed}", 72))
    axes.set_ylabel("Top-1 accuracy (%)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _grid(axes)


def _grid(axes: Axes) -> None:
    axes.grid(True, which="major", color="#e8ebee", linewidth=0.8)
    axes.set_axisbelow(True)


def _chance(comparison: StudyComparison, axes: Axes) -> None:
    chance = comparison.first.chance
    axes.axhline(100 * chance, color=FAINT, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
    axes.annotate(
        f"chance, {chance:.1%}",
        (0, 100 * chance),
        (6, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=MUTED,
        fontsize=9,
    )


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
    xs, ys = zip(*(_place(study, trial) for trial in on), strict=True)
    # The staircase reaches to the right edge: more cost never forbids the same accuracy.
    axes.step(
        [*xs, axes.get_xlim()[1]],
        [*ys, ys[-1]],
        where="post",
        color=look.color,
        linestyle=look.dashes,
        linewidth=1.7,
        alpha=0.8,
        zorder=3,
    )
    # Studies share networks, the base at least: later markers are smaller, so that all are seen.
    size = max(4.5, 9.5 - 0.7 * place)
    axes.plot(xs, ys, look.marker, color=look.color, markersize=size, zorder=4, **EDGE)
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
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _grid(axes)
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
        axes.axvline(x, color=INK, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1.8)
        share = axes.transAxes.inverted().transform(axes.transData.transform((x, 0)))[0]
        raised = share - before < NEAR and not raised
        before = share
        axes.annotate(
            text,
            (x, 1),
            (0, 16 if raised else 4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="left" if share < 0.15 else "right" if share > 0.9 else "center",
            va="bottom",
            fontsize=9.5,
            color=INK,
        )


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
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=_columns(comparison),
        frameon=False,
        fontsize=9.8,
        handlelength=3.6,
        handletextpad=0.6,
        columnspacing=2.0,
    )


def _legend_text(study: ComparedStudy) -> str:
    known = study.name == study.strategy
    text = study.name if known else f"{study.name}: {study.strategy}"
    return textwrap.shorten(text, NAME, placeholder=" ...")
