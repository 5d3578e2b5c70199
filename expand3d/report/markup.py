"""Tables and cards of the report pages, as HTML with its text escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any


def cell(value: Any, kind: str = "") -> str:
    """A table cell of text, of CSS class `kind`."""
    return (
        f'<td class="{kind}">{escape(str(value))}</td>'
        if kind
        else f"<td>{escape(str(value))}</td>"
    )


def row(cells: Iterable[str], kind: str = "") -> str:
    """A table row of finished cells, of CSS class `kind`."""
    opening = f'<tr class="{kind}">' if kind else "<tr>"
    return f"{opening}{''.join(cells)}</tr>"


def table(columns: Iterable[str], body: Iterable[Any]) -> str:
    """A table that scrolls; `body` holds finished rows, or lists of cells."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    rows = "".join(line if isinstance(line, str) else row(line) for line in body)
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll">{whole}</div>'


def card(name: str, value: str, note: str, kind: str = "") -> str:
    """A number to take away, between its name and a note, of CSS class `kind`."""
    return (
        f'<div class="card {kind}"><span>{escape(name)}</span><strong>{escape(value)}</strong>'
        f"<small>{escape(note)}</small></div>"
    )
