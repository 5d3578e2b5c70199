"""The surroundings of the points of a report's picture: axes, headings, budget."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

from expand3d.core.quantity import LATENCY
from expand3d.report import plot
from expand3d.report.plot import DASHED, DOTTED, INK, MUTED
from expand3d.report.study.view import StudyView

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: How many times costlier than everything drawn a preset may be and still widen the axis.
REACH = 2.0
#: Characters that fit above the axes.
LINE = 128


def frame(view: StudyView, axes: Axes) -> None:
    """Limits that hold every interval, the budget, and the preset where it is near."""
    scale = view.quantity.scale
    costs = [trial.candidate.cost / scale for trial in view.complete] + [view.budget / scale]
    low, high = min(costs), max(costs)
    preset = view.nearest_preset()
    if preset and preset[1] / scale <= REACH * high:
        high = max(high, preset[1] / scale)
    decades = math.log10(high / low)
    plot.cost_axis(axes, low / 10 ** (0.09 * decades + 0.05), high * 10 ** (0.06 * decades + 0.03))
    heights = [view.chance, *(bound for score in view.scores.values() for bound in score.top1_ci)]
    if view.final and view.final.score:
        heights += view.final.score.top1_ci
    axes.set_ylim(100 * max(0.0, min(heights) - 0.04), 100 * min(1.0, max(heights) + 0.04))
    timed = view.quantity is LATENCY and view.timed_on
    axes.set_xlabel(f"{view.quantity.axis}{f', {timed}' if timed else ''}")
    axes.set_ylabel("Top-1 accuracy (%)")


def headings(view: StudyView, axes: Axes) -> None:
    told = _caption(view)
    axes.set_title(
        f"{view.name}: {view.family.upper()} within {_budget(view)}",
        loc="left",
        fontsize=14,
        fontweight="bold",
        pad=56 if told else 40,
    )
    if told:
        _line(told, axes, above=25)
    found = view.nearest_preset()
    if found is None:
        return
    preset, cost = found
    top1 = next(figure for figure in preset.published if figure.what == "top1")
    text = (
        f"nearest published network: {preset.name.upper()}, {_amount(view, cost)}, "
        f"{top1.value}% top-1 ({top1.convention}; {top1.source})"
    )
    _line(text, axes, above=41 if told else 25)


def _amount(view: StudyView, amount: float) -> str:
    return f"{amount / view.quantity.scale:.3g} {view.quantity.unit}"


def _budget(view: StudyView) -> str:
    """The budget in the unit of the axis, or as it was written where it has several limits."""
    return view.budget_text if "," in view.budget_text else _amount(view, view.budget)


def _line(text: str, axes: Axes, *, above: float) -> None:
    """A line of text `above` points over the axes, from their left edge."""
    line = axes.annotate(
        textwrap.shorten(text, LINE, placeholder=" ..."),
        (0, 1),
        (0, above),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=9.5,
        color=MUTED,
    )
    line.set_in_layout(False)  # a long line must not squeeze the axes


def _caption(view: StudyView) -> str | None:
    """A line that says what all points have in common, where published networks are among them."""
    if not any(trial.number in view.scores for trial in view.baselines) or view.recipe is None:
        return None
    return (
        f"compared: no pretraining, profile {view.recipe.profile}, the same clips, "
        f"{view.tested} views (clips x crops) at the training crops"
    )


def verticals(view: StudyView, axes: Axes) -> None:
    """The budget, and the nearest preset's cost where the axis reaches it."""
    scale = view.quantity.scale
    budget = view.budget / scale
    lines = [(budget, f"budget {budget:.3g}", INK, DASHED)]
    found = view.nearest_preset()
    low, high = axes.get_xlim()
    drawn = found is not None and found[0].name in view.published
    if found and not drawn and low <= found[1] / scale <= high:
        lines.append((found[1] / scale, found[0].name.upper(), MUTED, DOTTED))
    lines.sort(key=lambda line: line[0])
    # Two lines may stand close: the left one's name ends at its line, the right one's begins there.
    sides = ["center"] if len(lines) == 1 else ["right", "left"]
    for (x, text, color, dashes), side in zip(lines, sides, strict=True):
        plot.vertical(axes, x, text, side=side, color=color, dashes=dashes)
