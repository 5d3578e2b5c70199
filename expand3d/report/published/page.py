"""The published results as one HTML file: the picture, what is unfair in it, rows and sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expand3d.core.files import write_whole
from expand3d.report.markup import Row, Table, number, render

COLUMNS = (
    "network",
    "frames, stride",
    "crop counted / tested (printed)",
    "GMACs a view",
    "views",
    "GMACs in all",
    "counting",
    "M params",
    "pretraining",
    "top-1",
)


def save_published_page(rows: Sequence[dict[str, Any]], path: Path, *, svg: str, cost: str) -> Path:
    """`path`, which now holds the page of `rows` (see published_rows) with the picture inside."""
    sources = list(dict.fromkeys(row["source"] for row in rows))
    columns = (*COLUMNS, f"differs from {rows[0]['reference']} in", "source", "note")
    body = tuple(_row(row, 1 + sources.index(row["source"])) for row in rows)
    text = render(
        "published.html.j2",
        svg=svg,
        count=len(rows),
        drawn=sum(not row["not_drawn"] for row in rows),
        cost=cost,
        results=Table(columns, body),
        sources=sources,
    )
    return write_whole(path, text)


def _row(row: dict[str, Any], source: int) -> Row:
    crops = f"{_said(row['crop_counted'])} / {_said(row['crop_tested'])}"
    if row["crop_printed"]:
        crops += f" ({row['crop_printed']})"
    views = f"{row['protocol']} = {row['views']}" if row["views"] else row["protocol"]
    notes = [f"not drawn: {row['not_drawn']}"] if row["not_drawn"] else []
    notes += [row["note"]] if row["note"] else []
    return Row.of(
        (
            f"{row['family']} {row['variant']}",
            number(f"{row['frames']}, {row['sampling'] or '–'}"),
            number(crops),
            number(_said(row["gmacs_per_view"])),
            number(views or "–"),
            number(_said(row["gmacs_total"])),
            row["counting"],
            number(_said(row["params_m"])),
            row["pretraining"],
            number(f"{row['top1']:.1f}"),
            row["differs_from_reference"],
            number(f"[{source}]"),
            "; ".join(notes),
        )
    )


def _said(value: float | None) -> str:
    return "–" if value is None else f"{value:,.5g}"
