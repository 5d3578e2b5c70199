"""Colours, style, layout, files, axes and the lines around the points, shared by all pictures."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from expand3d.core.files import write_whole

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which stays apart for colour-blind eyes; greys carry what is secondary.
PATH, FRONTIER, FINAL, BASELINE = "#D55E00", "#0072B2", "#009E73", "#8E3B76"
INK, MUTED, FAINT = "#22272e", "#6b7480", "#b3bac3"
#: The palette for what is many, such as families or studies.
PALETTE = (PATH, FRONTIER, FINAL, "#CC79A7", "#E69F00", "#56B4E9", INK, "#8A6D3B")
#: Of texts that stand on lines and points.
HALO = [withStroke(linewidth=3, foreground="white")]
DASHED, DOTTED = (0, (5, 3)), (0, (1, 2))

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
#: Dots per inch of a PNG.
DPI = 200
#: Inches around axes and legends.
PAD = 0.12


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches that makes room for its texts."""
    layout = ConstrainedLayoutEngine(w_pad=PAD, h_pad=PAD)
    return Figure(figsize=(width, height), layout=layout)


def save_figures(draw: Callable[[], Figure], folder: Path, name: str) -> list[Path]:
    """The paths NAME.png and NAME.svg in `folder`, which now hold what `draw` returns.

    The same picture gives the same files. FileError where one cannot be written.
    """
    paths = []
    with rc_context(STYLE):
        figure = draw()
        for kind, metadata in (("png", {}), ("svg", {"Date": None})):
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=DPI, metadata=metadata)
            figure.set_layout_engine("none")  # every file in the layout of the first
            paths.append(write_whole(folder / f"{name}.{kind}", content.getvalue()))
    return paths


def title(figure: Figure, text: str, lines: Sequence[str]) -> None:
    """Write a bold line at the top left of the figure, and smaller ones below it."""
    figure.suptitle(  # which keeps the room of the smaller lines
        text + "\n" * len(lines), x=0.012, ha="left", fontsize=14, fontweight="bold"
    )
    figure.text(
        0.012,
        1 - 0.42 / figure.get_figheight(),
        "\n".join(lines),
        fontsize=9.8,
        color=MUTED,
        va="top",
        linespacing=1.45,
        in_layout=False,
    )


def legend(figure: Figure, handles: Iterable[Artist], *, columns: int, **style: Any) -> None:
    """Write the legend below the axes."""
    shared: dict[str, Any] = {"frameon": False, "fontsize": 9.5, "columnspacing": 1.8}
    figure.legend(
        handles=list(handles), loc="outside lower center", ncols=columns, **{**shared, **style}
    )


def cost_axis(
    axes: Axes, low: float, high: float, *, subs: Sequence[float] = (1.0, 2.0, 5.0)
) -> None:
    """Make x a logarithmic cost from `low` to `high`, with ticks at `subs` times powers of ten."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_minor_formatter(NullFormatter())
    plain_ticks(axes)
    grid(axes)


def plain_ticks(axes: Axes) -> None:
    """Write the numbers along x without exponents: 0.5, 20, 5,000."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def grid(axes: Axes) -> None:
    """Draw a light grid behind everything else."""
    axes.grid(True, which="major", color="#e8ebee", linewidth=0.8)
    axes.set_axisbelow(True)


def staircase(axes: Axes, points: Sequence[tuple[float, float]], **style: Any) -> None:
    """Draw a frontier to the right edge: more cost never forbids the same accuracy."""
    xs, ys = zip(*points, strict=True)
    axes.step([*xs, axes.get_xlim()[1]], [*ys, ys[-1]], where="post", **style)


def chance_line(axes: Axes, chance: float) -> None:
    """Draw the accuracy (0 to 1) of guessing, where y is in percent."""
    axes.axhline(100 * chance, color=FAINT, linewidth=1, linestyle=DOTTED, zorder=1)
    axes.annotate(
        f"chance, {chance:.1%}",
        (0, 100 * chance),
        (6, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=MUTED,
        fontsize=9,
    )


def vertical(
    axes: Axes,
    x: float,
    text: str,
    *,
    side: str = "center",
    above: float = 4,
    color: str = INK,
    dashes: Any = DASHED,
) -> None:
    """Draw a line at `x` with its name, `above` points over the axes; `side` as of ha."""
    axes.axvline(x, color=color, linewidth=1.2, linestyle=dashes, zorder=1.8)
    axes.annotate(
        text,
        (x, 1),
        (0, above),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=9.5,
        color=color,
    )
