"""Published accuracy against cost as a picture that shows which points may not be ranked.

Marker shape is the test protocol, filling the pretraining, an arrow to the right a cost that the
source understates; lines join the undominated results of a family inside one comparison group.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from expand3d.report import plot
from expand3d.report.frontier import Point, frontier
from expand3d.report.plot import HALO, INK, MUTED, PALETTE
from expand3d.report.published.results import Result, group, not_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Pixels = NDArray[np.floating[Any]]

#: Kind of test protocol -> marker and words.
KINDS = {
    "clips3": ("o", "10 clips × 3 crops"),
    "clips1": ("^", "10 clips × 1 crop"),
    "sampled": ("s", "1 clip of sampled frames × 3 or 10 crops"),
    "few": ("D", "1 to 5 views"),
    "many": ("*", "more than 100 views"),
    "unknown": ("X", "views not stated"),
}
FILLS: dict[str, tuple[Any, str]] = {
    "none": ("full", "from scratch"),
    "ImageNet": ("none", "pretrained on ImageNet"),
    "larger": ("left", "pretrained on more (Sports-1M, IG-65M, web)"),
}
READING = (
    "Rank only points of one shape and filling, without arrow or question mark; squares, diamonds, "
    "stars and half-filled points pool what the table tells apart."
)
PANELS = ("Trained from scratch", "Pretrained on other data: not comparable with from scratch")
COST_TEXT = {
    "total": "GMACs for a whole inference (one view × number of views)",
    "view": "GMACs of one view (accuracy still needs all views)",
}
#: Of a marker and of an arrow, in points.
SIZE, ARROW = 7.0, 22.0
#: Directions from a marker in which a name may stand, in halves of the name's size.
SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (0.8, 1), (-0.8, 1), (0.8, -1), (-0.8, -1))


def kind(result: Result) -> str:
    """The key of KINDS that the result's test protocol belongs to."""
    clips, _, crops = result.protocol.partition("x")
    if result.views is None:
        return "unknown"
    if result.views > 100:
        return "many"
    if result.views <= 5 and crops == "1":
        return "few"
    if clips == "1":
        return "sampled"
    return "clips3" if crops == "3" else "clips1"


def draw(results: Sequence[Result], *, cost: str, colours: Mapping[str, str]) -> Figure:
    """The figure, 13 x 7.2 inches: a panel for scratch and one for pretraining, where not empty."""
    drawn = [result for result in results if not not_drawn(result, cost)]
    halves = [
        (title, [result for result in drawn if (result.pretraining == "none") is scratch])
        for title, scratch in zip(PANELS, (True, False), strict=True)
    ]
    halves = [(title, half) for title, half in halves if half]
    figure = plot.new_figure(13, 7.2)
    grid = figure.subplots(1, len(halves), sharex=True, sharey=True, squeeze=False)[0]
    what = "total inference cost" if cost == "total" else "cost of one view"
    plot.title(figure, f"Kinetics-400 accuracy against {what}, as published", [READING])
    for axes, (title, half) in zip(grid, halves, strict=True):
        _frame(axes, drawn, cost)
        axes.set_title(title, loc="left", fontsize=11.5, color=MUTED)
        axes.set_xlabel(COST_TEXT[cost])
        for family, places in _best(half, cost):
            x, y = zip(*places, strict=True)
            axes.plot(x, y, color=colours[family], linewidth=1.6, alpha=0.55)
        _points(axes, half, cost, colours)
    grid[0].set_ylabel("Top-1 accuracy, video level (%)")
    _legend(figure, drawn)
    figure.draw_without_rendering()  # settles the layout, on which the names are placed
    for axes, (_, half) in zip(grid, halves, strict=True):
        _names(axes, half, cost, colours)
    return figure


def colours_of(order: Sequence[str]) -> dict[str, str]:
    """A colour per family in the file's order; the palette's second round is darker."""
    found = {}
    for place, family in enumerate(order):
        red, green, blue = to_rgb(PALETTE[place % len(PALETTE)])
        shade = 0.62 ** (place // len(PALETTE))
        channels = (round(255 * shade * channel) for channel in (red, green, blue))
        found[family] = "#" + "".join(f"{channel:02x}" for channel in channels)
    return found


def _frame(axes: Axes, drawn: Sequence[Result], cost: str) -> None:
    costs = [_place(result, cost)[0] for result in drawn]
    heights = [result.top1 for result in drawn]
    plot.cost_axis(axes, min(costs) / 1.6, max(costs) * 1.6, subs=(1.0,))
    axes.set_ylim(min(heights) - 1.2, max(heights) + 1.2)


def _place(result: Result, cost: str) -> tuple[float, float]:
    value = result.cost(cost)
    assert value is not None, "a result without this cost is not drawn"
    return value, result.top1


def _best(half: Iterable[Result], cost: str) -> list[tuple[str, list[tuple[float, float]]]]:
    """For every family and comparison group its name and its undominated places, cheapest first."""
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for result in half:
        series.setdefault((result.family, group(result)), []).append(_place(result, cost))
    return [
        (family, [places[n] for n in frontier([Point(y / 100, x) for x, y in places])])
        for (family, _), places in series.items()
    ]


def _points(axes: Axes, half: Iterable[Result], cost: str, colours: Mapping[str, str]) -> None:
    for result in half:
        colour = colours[result.family]
        x, y = _place(result, cost)
        if result.understated:
            axes.annotate(
                "",
                (x, y),
                (ARROW, 0),
                textcoords="offset points",
                arrowprops={"arrowstyle": "<-", "color": colour, "linewidth": 1.1, "shrinkA": 0},
            )
        if result.crop_counted is None:
            axes.annotate("?", (x, y), (5, 3), textcoords="offset points", color=colour, fontsize=9)
        axes.plot([x], [y], color=colour, zorder=3, **_marker(kind(result), result.pretraining))


def _marker(kind: str, pretraining: str) -> dict[str, Any]:
    filling = FILLS.get(pretraining, FILLS["larger"])[0]
    return {
        "marker": KINDS[kind][0],
        "markersize": 1.6 * SIZE if kind == "many" else SIZE,
        "fillstyle": filling,
        "markerfacecoloralt": "white",
        "markeredgewidth": 0.6 if filling == "full" else 1.3,
        "linestyle": "none",
    } | ({"markeredgecolor": "white"} if filling == "full" else {})


def _legend(figure: Figure, drawn: Sequence[Result]) -> None:
    """Shapes, fillings and the arrow, in ink, of what is in the picture."""
    kinds = {kind(result) for result in drawn}
    fills = {r.pretraining if r.pretraining in FILLS else "larger" for r in drawn}
    entries = [(_marker(name, "none"), text) for name, (_, text) in KINDS.items() if name in kinds]
    entries += [
        (_marker("clips3", name), text) for name, (_, text) in FILLS.items() if name in fills
    ]
    if any(result.understated for result in drawn):
        entries.append(
            (_sign(r"$\rightarrow$", 13), "true cost is higher: flow or test crop uncounted")
        )
    if any(result.crop_counted is None for result in drawn):
        entries.append((_sign("$?$", 6), "crop of the cost not stated"))
    handles = [Line2D([], [], color=INK, label=text, **style) for style, text in entries]
    plot.legend(figure, handles, columns=4, handletextpad=0.4)


def _sign(text: str, size: float) -> dict[str, Any]:
    return {"marker": text, "markersize": size, "markeredgewidth": 0.4, "linestyle": "none"}


def _names(axes: Axes, half: Sequence[Result], cost: str, colours: Mapping[str, str]) -> None:
    """Each family's name beside one of its points, where it hides the least."""
    dot = axes.figure.dpi / 72
    reach = 0.65 * SIZE * dot
    markers = axes.transData.transform([_place(result, cost) for result in half])
    families = np.array([result.family for result in half])
    # Boxes (left, bottom, right, top) in pixels that a name must not lie on: markers with their
    # arrows and question marks, lines, and the names before it.
    taken = [
        (x - reach, y - reach, x + (ARROW * dot if result.understated else reach), y + reach)
        for result, (x, y) in zip(half, markers, strict=True)
    ]
    taken += [
        (x, y, x + 12 * dot, y + 12 * dot)
        for result, (x, y) in zip(half, markers, strict=True)
        if result.crop_counted is None
    ]
    for _, places in _best(half, cost):
        corners = axes.transData.transform(places)
        for start, end in pairwise(corners):
            steps = start + (end - start) * np.linspace(0, 1, 30)[:, None]
            taken += [(x - dot, y - 3 * dot, x + dot, y + 3 * dot) for x, y in steps]
    frame = np.array(axes.get_window_extent().extents)
    for family in dict.fromkeys(families):
        text = axes.text(
            *_place(half[int(np.argmax(families == family))], cost),
            family,
            color=colours[family],
            fontsize=10.5,
            fontweight="bold",
            ha="center",
            va="center",
            path_effects=HALO,
            zorder=5,
        )
        text.set_in_layout(False)
        size = np.array(text.get_window_extent().size)
        own, others = markers[families == family], markers[families != family]
        middle = _middle(size, own, others, np.array(taken), frame, dot)
        x, y = axes.transData.inverted().transform(middle)
        text.set_position((x, y))
        taken.append((*(middle - size / 2), *(middle + size / 2)))


def _middle(
    size: Pixels, own: Pixels, others: Pixels, taken: Pixels, frame: Pixels, dot: float
) -> Pixels:
    """The best middle (pixels) of a name of `size`: near an own marker, on nothing, not misread."""
    best, least = own[0], math.inf
    for marker in own:
        for reach in (6 * dot, 10 * dot, 16 * dot):
            for side in SIDES:
                middle = marker + np.array(side) * (size / 2 + reach)
                box = np.concatenate([middle - size / 2, middle + size / 2])
                outside = size.prod() - _shared(box, frame[None])
                away = np.linalg.norm(own - middle, axis=1).min()
                nearer = len(others) and np.linalg.norm(others - middle, axis=1).min() < away
                badness = _shared(box, taken) + 5 * outside + reach + 300 * bool(nearer)
                if badness < least:
                    best, least = middle, badness
    return best


def _shared(box: Pixels, others: Pixels) -> float:
    """The area in square pixels that `box` shares with the boxes `others` (N x 4), summed."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return float(np.clip(sides, 0, None).prod(axis=1).sum())
