"""The folder of `report --published`: table, pictures and page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from expand3d.core.errors import ConfigError
from expand3d.core.files import filled, write_whole
from expand3d.report.plot import save_figures
from expand3d.report.published.figure import colours_of, draw
from expand3d.report.published.page import save_published_page
from expand3d.report.published.results import Result, load_published, not_drawn, published_rows


def write_published(
    results: Sequence[Result], out: str | Path, *, cost: str = "total"
) -> list[Path]:
    """Write published.csv, .png, .svg and .html into `out`; their paths.

    Files of these names are replaced; all are written, or none. ConfigError where no result can be
    drawn against `cost`.
    """
    if all(not_drawn(result, cost) for result in results):
        raise ConfigError("--families: no result of these has a printed cost; choose others")
    rows = published_rows(results, cost=cost)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    order = list(dict.fromkeys(result.family for result in load_published()))
    colours = colours_of(order)
    with filled(Path(out)) as folder:
        table = write_whole(folder / "published.csv", text.getvalue())
        pictures = save_figures(
            lambda: draw(results, cost=cost, colours=colours), folder, "published"
        )
        drawn = pictures[-1].read_text(encoding="utf-8")
        page = save_published_page(rows, folder / "published.html", svg=drawn, cost=cost)
    return [Path(out) / path.name for path in (table, *pictures, page)]
