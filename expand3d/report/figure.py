"""Accuracy against multiply-adds as a picture: networks, path, frontier and budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from expand3d.report.view import StudyView
from expand3d.study.trial import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which stays apart for colour-blind eyes; greys carry what is secondary.
PATH, FRONTIER, FINAL = "#D55E00", "#0072B2", "#009E73"
INK, MUTED, FAINT = "#22272e", "#6b7480", "#b3bac3"

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa2ab",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "svg.hashsalt": "expand3d",
}
GIGA = 1e9
HALO = [withStroke(linewidth=3, foreground="white")]
#: How many times costlier than everything drawn a preset may be and still widen the axis.
REACH = 2.0


def save_figures(view: StudyView, folder: Path) -> list[Path]:
    """Write frontier.png (200 dots per inch) and frontier.svg and return their paths."""
    paths = [folder / "frontier.png", folder / "frontier.svg"]
    with rc_context(STYLE):
        figure = draw(view)
        for path in paths:
            # No date, so that the same study gives the same file.
            figure.savefig(path, dpi=200, metadata={"Date": None} if path.suffix == ".svg" else {})
    return paths


def draw(view: StudyView) -> Figure:
    """The figure of one study, 9.6 x 6 inches."""
    figure = Figure(figsize=(9.6, 6.0), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    axes = figure.add_subplot()
    _frame(view, axes)
    _headings(view, axes)
    _chance(view, axes)
    _candidates(view, axes)
    _fans(view, axes)
    _frontier(view, axes)
    _path(view, axes)
    _final(view, axes)
    _verticals(view, axes)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=9.5,
        handletextpad=0.5,
        columnspacing=1.8,
    )
    return figure


def _frame(view: StudyView, axes: Axes) -> None:
    """Limits that hold every interval, the budget, and the preset where it is near."""
    costs = [trial.candidate.macs / GIGA for trial in view.complete] + [view.budget / GIGA]
    low, high = min(costs), max(costs)
    preset = view.nearest_preset()
    if preset and preset[1] / GIGA <= REACH * high:
        high = max(high, preset[1] / GIGA)
    decades = math.log10(high / low)
    axes.set_xscale("log")
    axes.set_xlim(low / 10 ** (0.09 * decades + 0.05), high * 10 ** (0.06 * decades + 0.03))
    heights = [view.chance, *(bound for score in view.scores.values() for bound in score.top1_ci)]
    if view.final and view.final.score:
        heights += view.final.score.top1_ci
    axes.set_ylim(100 * max(0.0, min(heights) - 0.04), 100 * min(1.0, max(heights) + 0.04))
    axes.set_xlabel("GMACs per clip (multiply-adds of conv + linear at the training crop)")
    axes.set_ylabel("Top-1 accuracy (%)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="major", color="#e8ebee", linewidth=0.8)
    axes.set_axisbelow(True)


def _headings(view: StudyView, axes: Axes) -> None:
    axes.set_title(
        f"{view.name}: {view.family.upper()} within {view.budget / GIGA:.3g} GMACs",
        loc="left",
        fontsize=14,
        fontweight="bold",
        pad=40,
    )
    found = view.nearest_preset()
    if found is None:
        return
    preset, macs = found
    top1 = next(figure for figure in preset.published if figure.what == "top1")
    text = (
        f"nearest published network: {preset.name.upper()}, {macs / GIGA:.3g} GMACs, "
        f"{top1.value}% top-1 ({top1.convention}; {top1.source})"
    )
    axes.annotate(
        text,
        (0, 1),
        (0, 25),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=9.5,
        color=MUTED,
    )


def _chance(view: StudyView, axes: Axes) -> None:
    axes.axhline(100 * view.chance, color=FAINT, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
    axes.annotate(
        f"chance, {view.chance:.1%}",
        (0, 100 * view.chance),
        (6, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=MUTED,
        fontsize=9,
    )


def _place(view: StudyView, trial: Trial) -> tuple[float, float]:
    return trial.candidate.macs / GIGA, 100 * view.scores[trial.number].top1


def _bars(view: StudyView, trials: Sequence[Trial], axes: Axes, **style: Any) -> None:
    """Points with their 95% intervals."""
    xs, ys = zip(*(_place(view, trial) for trial in trials), strict=True)
    intervals = [view.scores[trial.number].top1_ci for trial in trials]
    below = [y - 100 * low for y, (low, _) in zip(ys, intervals, strict=True)]
    above = [100 * high - y for y, (_, high) in zip(ys, intervals, strict=True)]
    axes.errorbar(xs, ys, yerr=[below, above], fmt="o", **style)


def _candidates(view: StudyView, axes: Axes) -> None:
    chosen = set(view.path)
    others = [trial for trial in view.complete if trial.number not in chosen]
    if others:
        _bars(
            view,
            others,
            axes,
            color=FAINT,
            ecolor="#dfe3e8",
            markersize=6,
            elinewidth=1.2,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=2,
            label="candidate, 95% interval",
        )


def _fans(view: StudyView, axes: Axes) -> None:
    """Thin lines from each winner to what the next step tried from it."""
    for before, step in zip(view.steps, view.steps[1:], strict=False):
        if before.choice is None:
            continue
        x, y = _place(view, before.choice.best)
        for trial in step.trials:
            if trial and trial.number in view.scores:
                to_x, to_y = _place(view, trial)
                axes.plot([x, to_x], [y, to_y], color=FAINT, linewidth=0.9, alpha=0.7, zorder=1.5)


def _frontier(view: StudyView, axes: Axes) -> None:
    points = [_place(view, trial) for trial in view.frontier]
    if points:
        xs, ys = zip(*points, strict=True)
        # The staircase reaches to the right edge: more cost never forbids the same accuracy.
        axes.step(
            [*xs, axes.get_xlim()[1]],
            [*ys, ys[-1]],
            where="post",
            color=FRONTIER,
            linewidth=1.8,
            alpha=0.75,
            zorder=3,
            label="frontier",
        )


def _path(view: StudyView, axes: Axes) -> None:
    winners = [view.trial(number) for number in view.path if number in view.scores]
    if not winners:
        return
    points = [_place(view, trial) for trial in winners]
    axes.plot(
        *zip(*points, strict=True), color=PATH, linewidth=2.6, zorder=4, solid_capstyle="round"
    )
    _bars(
        view,
        winners,
        axes,
        color=PATH,
        ecolor="#eab08a",
        markersize=9,
        elinewidth=1.6,
        markeredgecolor="white",
        markeredgewidth=1.2,
        zorder=5,
        label="expansion's choice",
    )
    names = [symbol(view, number) for number in range(len(view.steps))]
    for place, ((x, y), name) in enumerate(zip(points, names, strict=False)):
        falling = place > 0 and points[place - 1][1] > y
        axes.annotate(
            name,
            (x, y),
            (-7, -17 if falling else 8),
            textcoords="offset points",
            ha="right",
            color=PATH,
            fontsize=12,
            path_effects=HALO,
            zorder=7,
        )


def symbol(view: StudyView, step: int) -> str:
    """What a step's winner changed, as the paper writes factors: a gamma with its letter."""
    winner = view.steps[step].winner
    if winner is None or winner.axis is None:
        return "base"
    greek = {"tau": r"\tau"}
    letters = [axis.removeprefix("gamma_") for axis in (winner.axis, *winner.merged)]
    if not winner.axis.startswith("gamma_"):
        return winner.axis
    text = ", ".join(rf"$\gamma_{{{greek.get(letter, letter)}}}$" for letter in letters)
    return f"{text} contracted" if winner.role == "contract" else text


def _final(view: StudyView, axes: Axes) -> None:
    if view.final is None or view.final.score is None:
        return
    score = view.final.score
    x, y = view.trial(view.final.trial).candidate.macs / GIGA, 100 * score.top1
    low, high = (100 * bound for bound in score.top1_ci)
    axes.errorbar(
        [x],
        [y],
        yerr=[[y - low], [high - y]],
        fmt="*",
        markersize=19,
        color=FINAL,
        ecolor="#7cc9b3",
        elinewidth=1.8,
        capsize=4,
        markeredgecolor="white",
        markeredgewidth=1.1,
        zorder=4.5,
        label=f"winner, final training: {score.top1:.1%} of {score.clips} clips",
    )


def _verticals(view: StudyView, axes: Axes) -> None:
    """The budget, and the nearest preset's cost where the axis reaches it."""
    budget = view.budget / GIGA
    lines = [(budget, f"budget {budget:.3g}", INK, (0, (5, 3)))]
    found = view.nearest_preset()
    low, high = axes.get_xlim()
    if found and low <= found[1] / GIGA <= high:
        lines.append((found[1] / GIGA, found[0].name.upper(), MUTED, (0, (1, 2))))
    lines.sort(key=lambda line: line[0])
    # Two lines may stand close: the left one's name ends at its line, the right one's begins there.
    sides = ["center"] if len(lines) == 1 else ["right", "left"]
    for (x, text, color, dashes), side in zip(lines, sides, strict=True):
        axes.axvline(x, color=color, linewidth=1.2, linestyle=dashes, zorder=1.8)
        axes.annotate(
            text,
            (x, 1),
            (0, 4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha=side,
            va="bottom",
            fontsize=9.5,
            color=color,
        )
