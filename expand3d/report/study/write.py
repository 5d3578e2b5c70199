"""The report's four files."""

from __future__ import annotations

from pathlib import Path

from expand3d.core.errors import StudyError
from expand3d.core.files import filled, write_whole
from expand3d.report.plot import save_figures
from expand3d.report.study.figure import draw
from expand3d.report.study.page import save_page
from expand3d.report.study.table import dataframe
from expand3d.report.study.view import StudyView
from expand3d.study.damaged import reading


def write_report(view: StudyView, out: str | Path) -> list[Path]:
    """Write frontier.csv, frontier.png, frontier.svg and index.html into `out`; their paths.

    Files of these names are replaced; all are written, or none. StudyError where no network has a
    score yet.
    """
    with reading(view.name):
        nothing = not view.complete
    if nothing:
        raise StudyError(f"study {view.name!r} has no scored network yet; nothing to report")
    with reading(view.name):
        csv = dataframe(view).to_csv(index=False)
        with filled(Path(out)) as folder:
            table = write_whole(folder / "frontier.csv", csv)
            png, svg = save_figures(lambda: draw(view), folder, "frontier")
            page = save_page(view, folder / "index.html", svg=svg.read_text(encoding="utf-8"))
    return [Path(out) / path.name for path in (table, png, svg, page)]
