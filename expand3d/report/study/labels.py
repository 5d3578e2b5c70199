"""Names beside points, placed where they hide neither each other nor what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.transforms import Bbox

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

#: Offsets in points that are tried around a point, with the side of the text that faces it.
_AROUND = (
    (9, 5, "left", "bottom"),
    (9, -5, "left", "top"),
    (-9, 5, "right", "bottom"),
    (-9, -5, "right", "top"),
    (0, 11, "center", "bottom"),
    (0, -11, "center", "top"),
)
#: Farther away where everything near is taken; a thin line then leads to the point.
_FARTHER = (1.0, 2.4, 4.0, 6.0)
#: How many covered things are as bad as leaving the axes.
_OUTSIDE = 100
#: Half the side of a marker, in points, that no text may cover.
_MARKER = 6.0


class Name(NamedTuple):
    """A text and the point, in the axes' data coordinates, that it belongs to."""

    text: str
    x: float
    y: float


def place_names(
    axes: Axes, names: Sequence[Name], *, points: Sequence[tuple[float, float]], **style: Any
) -> list[Annotation]:
    """Write each name beside its point, at the nearest place that is free.

    Free is what covers no other text of the axes and none of `points`. Where no place is, the
    nearest one that lies within the axes is taken. The figure is laid out once to measure texts.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    scale = figure.dpi / 72
    room = axes.get_window_extent()
    taken = [text.get_window_extent() for text in axes.texts]
    for x, y in axes.transData.transform(points) if points else ():
        half = _MARKER * scale
        taken.append(Bbox.from_extents(x - half, y - half, x + half, y + half))
    return [_placed(axes, name, room, taken, style) for name in names]


def _placed(
    axes: Axes, name: Name, room: Bbox, taken: list[Bbox], style: dict[str, Any]
) -> Annotation:
    """The name at its best place, which is then added to `taken`."""
    best: tuple[int, float, Annotation, Bbox] | None = None
    for far in _FARTHER:
        for dx, dy, ha, va in _AROUND:
            note = axes.annotate(
                name.text,
                (name.x, name.y),
                (dx * far, dy * far),
                textcoords="offset points",
                ha=ha,
                va=va,
                in_layout=False,
                **style,
            )
            box = note.get_window_extent().padded(1)
            inside = room.x0 <= box.x0 and box.x1 <= room.x1
            inside = inside and room.y0 <= box.y0 and box.y1 <= room.y1
            faults = sum(box.overlaps(other) for other in taken) + (0 if inside else _OUTSIDE)
            if best is not None and best[0] <= faults:
                note.remove()
                continue
            if best is not None:
                best[2].remove()
            best = (faults, far, note, box)
        if best is not None and best[0] == 0:
            break
    assert best is not None
    _, far, note, box = best
    if far > 1:
        _lead(axes, name, note, color=style.get("color"))
    taken.append(box)
    return note


def _lead(axes: Axes, name: Name, note: Annotation, *, color: Any) -> None:
    """A thin line from a name that stands apart to its point."""
    axes.annotate(
        "",
        (name.x, name.y),
        note.xyann,
        textcoords="offset points",
        arrowprops={"arrowstyle": "-", "linewidth": 0.7, "color": color},
        in_layout=False,
    )
