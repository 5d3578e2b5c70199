"""Pages: what a template of `templates/` is filled with, and its text. All text is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Cell:
    """A table's cell: text of CSS class `kind` over `span` columns."""

    text: Any
    kind: str = ""
    span: int = 1


@dataclass(frozen=True)
class Row:
    """A table's row, of CSS class `kind`."""

    cells: tuple[Cell, ...]
    kind: str = ""

    @classmethod
    def of(cls, cells: Iterable[Cell | str], kind: str = "") -> Row:
        """The row of cells, of which the plain ones are given as texts."""
        return cls(tuple(c if isinstance(c, Cell) else Cell(c) for c in cells), kind)


@dataclass(frozen=True)
class Table:
    """A table that scrolls; `columns` are its headings, () for none."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Card:
    """A number to take away, between its name and a note, of CSS class `kind`."""

    name: str
    value: str
    note: str
    kind: str = ""


def number(text: Any) -> Cell:
    """A cell whose digits stand below those of the other rows and do not wrap."""
    return Cell(text, "number")


def render(template: str, *, svg: str, **values: Any) -> str:
    """The page that `template` makes of `values`, with the picture (an SVG file's text) inside."""
    return _environment().get_template(template).render(svg=svg[svg.index("<svg") :], **values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("expand3d.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
