"""Accuracy against cost as a picture: networks, path, frontier and budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from expand3d.core.quantity import LATENCY
from expand3d.core.trial import Candidate, Trial
from expand3d.report import plot
from expand3d.report.plot import BASELINE, FAINT, FINAL, FRONTIER, HALO, PATH
from expand3d.report.study.canvas import frame, headings, verticals
from expand3d.report.study.labels import Name, place_names
from expand3d.report.study.view import StudyView
from expand3d.search.statistics import axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(view: StudyView) -> Figure:
    """The figure of one study, 9.6 x 6 inches."""
    figure = plot.new_figure(9.6, 6.0)
    axes = figure.add_subplot()
    frame(view, axes)
    headings(view, axes)
    plot.chance_line(axes, view.chance)
    _candidates(view, axes)
    _fans(view, axes)
    _frontier(view, axes)
    _path(view, axes)
    _final(view, axes)
    verticals(view, axes)
    _baselines(view, axes)
    handles, _ = axes.get_legend_handles_labels()
    plot.legend(figure, handles, columns=3 if view.baselines else 4, handletextpad=0.5)
    _name_baselines(view, axes)
    return figure


def _place(view: StudyView, trial: Trial) -> tuple[float, float]:
    return trial.candidate.cost / view.quantity.scale, 100 * view.scores[trial.number].top1


def _bars(
    view: StudyView, trials: Sequence[Trial], axes: Axes, *, fmt: str = "o", **style: Any
) -> None:
    """Points with their 95% intervals, and the quartiles of a latency."""
    xs, ys = zip(*(_place(view, trial) for trial in trials), strict=True)
    intervals = [view.scores[trial.number].top1_ci for trial in trials]
    below = [y - 100 * low for y, (low, _) in zip(ys, intervals, strict=True)]
    above = [100 * high - y for y, (_, high) in zip(ys, intervals, strict=True)]
    axes.errorbar(xs, ys, xerr=_spread(view, trials), yerr=[below, above], fmt=fmt, **style)


def _spread(view: StudyView, trials: Sequence[Trial]) -> list[list[float]] | None:
    """The quartiles of measured times, as distances from their medians."""
    if view.quantity is not LATENCY:
        return None
    times = [t.candidate.latency for t in trials if t.candidate.latency]
    assert len(times) == len(trials), "who is drawn on a latency was measured"
    return [[t.median - t.low for t in times], [t.high - t.median for t in times]]


def _candidates(view: StudyView, axes: Axes) -> None:
    chosen = set(view.path) | set(view.names)
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
    """Thin lines from each network to what a step tried from it."""
    for step in view.steps:
        for candidate, trial in zip(step.offer.candidates, step.trials, strict=True):
            parent = view.parent(candidate)
            if parent and trial and {parent.number, trial.number} <= view.scores.keys():
                (x, y), (to_x, to_y) = _place(view, parent), _place(view, trial)
                axes.plot([x, to_x], [y, to_y], color=FAINT, linewidth=0.9, alpha=0.7, zorder=1.5)


def _frontier(view: StudyView, axes: Axes) -> None:
    points = [_place(view, trial) for trial in view.frontier]
    if points:
        style = {"color": FRONTIER, "linewidth": 1.8, "alpha": 0.75, "zorder": 3}
        plot.staircase(axes, points, label="frontier", **style)


def _path(view: StudyView, axes: Axes) -> None:
    winners = view.lineage
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
    names = [symbol(trial.candidate) for trial in winners]
    for place, ((x, y), name) in enumerate(zip(points, names, strict=True)):
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


def symbol(candidate: Candidate) -> str:
    """The axes that a step changed, as the paper writes factors: a gamma with its letter."""
    axes = axes_of(candidate)
    if not axes:
        return "base"
    text = ", ".join(map(_letter, axes))
    return f"{text} contracted" if candidate.role == "contract" else text


def _letter(axis: str) -> str:
    name = axis.removeprefix("gamma_")
    if name == axis:
        return axis
    greek = {"tau": r"\tau"}
    return rf"$\gamma_{{{greek.get(name, name)}}}$"


def _baselines(view: StudyView, axes: Axes) -> None:
    """Diamonds; an open one around a network that the expansion has tried too."""
    scored = [trial for trial in view.baselines if trial.number in view.scores]
    own = [trial for trial in scored if trial.candidate.step is None and not _chosen(view, trial)]
    shared = [trial for trial in scored if trial not in own]
    text = "baseline, trained here alike"
    if own:
        _bars(
            view,
            own,
            axes,
            fmt="D",
            color=BASELINE,
            ecolor="#d3b0c8",
            markersize=7.5,
            elinewidth=1.4,
            markeredgecolor="white",
            markeredgewidth=0.9,
            zorder=4.2,
            label=text,
        )
    if shared:
        axes.plot(
            *zip(*(_place(view, trial) for trial in shared), strict=True),
            "D",
            markersize=12,
            markerfacecolor="none",
            markeredgecolor=BASELINE,
            markeredgewidth=1.4,
            zorder=6,
            label=None if own else text,
        )


def _chosen(view: StudyView, trial: Trial) -> bool:
    return trial.number in view.path


def _name_baselines(view: StudyView, axes: Axes) -> None:
    """Each published network's name and crop, after everything else has its place."""
    names = [
        Name(f"{view.names[trial.number]}, {trial.candidate.plan.crop} px", *_place(view, trial))
        for trial in view.baselines
        if trial.number in view.scores
    ]
    if not names:
        return
    points = [_place(view, trial) for trial in view.complete]
    style = {"color": BASELINE, "fontsize": 9, "path_effects": HALO, "zorder": 7}
    place_names(axes, names, points=points, **style)


def _final(view: StudyView, axes: Axes) -> None:
    if view.final is None or view.final.score is None:
        return
    score = view.final.score
    x, y = _place(view, view.trial(view.final.trial))[0], 100 * score.top1
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
