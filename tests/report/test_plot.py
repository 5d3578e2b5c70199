"""Common to all pictures: their files, and the layout that both files of one picture have."""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.figure import Figure

from expand3d.report import plot


def drawn() -> Figure:
    figure = plot.new_figure(6, 4)
    axes = figure.add_subplot()
    plot.cost_axis(axes, 0.5, 2000)
    axes.set_ylim(0, 100)
    axes.set_ylabel("Top-1 accuracy (%)")
    plot.staircase(axes, [(1, 20), (10, 40)], label="frontier")
    plot.chance_line(axes, 0.25)
    plot.vertical(axes, 100, "budget")
    plot.title(figure, "A title", ["and a line"])
    plot.legend(figure, axes.get_legend_handles_labels()[0], columns=1)
    return figure


def test_both_files_have_one_layout_whatever_their_resolution(tmp_path: Path) -> None:
    kept: list[Figure] = []

    def draw() -> Figure:
        kept.append(drawn())
        return kept[0]

    png, svg = plot.save_figures(draw, tmp_path, "a")
    assert [png.name, svg.name] == ["a.png", "a.svg"] and len(kept) == 1
    left, bottom, right, top = kept[0].axes[0].get_position().extents
    # The axes' background is the second rectangle of the SVG, in points from its upper left.
    paths = re.findall(r'<g id="patch_2">\s*<path d="([^"]*)"', svg.read_text())
    numbers = [float(text) for text in re.findall(r"-?[\d.]+", paths[0])]
    xs, ys = numbers[0::2], numbers[1::2]
    size = (6 * 72, 4 * 72)
    for number, share in ((min(xs), left * size[0]), (max(xs), right * size[0])):
        assert abs(number - share) < 0.01
    for number, share in ((min(ys), (1 - top) * size[1]), (max(ys), (1 - bottom) * size[1])):
        assert abs(number - share) < 0.01


def test_the_same_picture_gives_the_same_files(tmp_path: Path) -> None:
    first, again = (plot.save_figures(drawn, tmp_path, name) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_a_staircase_reaches_the_edge_and_costs_have_no_exponent() -> None:
    figure = drawn()
    figure.draw_without_rendering()
    (axes,) = figure.axes
    stairs = axes.lines[0]
    assert list(stairs.get_xdata()) == [1, 10, 2000] and list(stairs.get_ydata()) == [20, 40, 40]
    ticks = {tick.get_text() for tick in axes.get_xticklabels()}
    assert {"0.5", "1", "20", "1,000"} <= ticks
    assert {"chance, 25.0%", "budget"} <= {text.get_text() for text in axes.texts}
