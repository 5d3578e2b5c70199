"""Pages: what a template of `templates/` is filled with, and its text. All text is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


@dataclass(frozen=True)
class Cell:
    """A table's cell: text of CSS class `kind` over `span` columns."""

    text: Any
    kind: str = ""
    span: int = 1


@dataclass(frozen=True)
class Row:
    """A table's row, of CSS class `kind`; a script shows its `trial` on a click."""

    cells: tuple[Cell, ...]
    kind: str = ""
    trial: int | None = None

    @classmethod
    def of(cls, cells: Iterable[Cell | str], kind: str = "", *, trial: int | None = None) -> Row:
        """The row of cells, of which the plain ones are given as texts."""
        return cls(tuple(c if isinstance(c, Cell) else Cell(c) for c in cells), kind, trial)


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


def render(template: str, *, svg: str | None, **values: Any) -> str:
    """The page that `template` makes of `values`, with the picture (an SVG file's text) inside."""
    inner = None if svg is None else svg[svg.index("<svg") :]
    return _environment().get_template(template).render(svg=inner, **values)


def _script(template: str) -> Markup:
    """The text of a page's script, which no value is put into."""
    from markupsafe import Markup

    return Markup(_environment().get_template(template).render())


def _script_hash(template: str) -> str:
    """The script's hash, by which a page's policy lets it run and no other."""
    digest = hashlib.sha256(_script(template).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("expand3d.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"script": _script, "script_hash": _script_hash}
    return environment
