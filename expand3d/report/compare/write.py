"""The five files of a comparison."""

from __future__ import annotations

from pathlib import Path

from expand3d.core.files import filled, write_whole
from expand3d.report.compare.comparison import StudyComparison, comparison_rows, curve_rows
from expand3d.report.compare.figure import draw
from expand3d.report.compare.page import save_comparison_page
from expand3d.report.plot import save_figures


def write_comparison(comparison: StudyComparison, out: str | Path) -> list[Path]:
    """Write comparison.csv, hypervolume.csv, comparison.png, .svg and index.html; their paths.

    Files of these names in the folder `out` are replaced; all are written, or none.
    """
    import pandas as pd

    rows = {"comparison.csv": comparison_rows, "hypervolume.csv": curve_rows}
    with filled(Path(out)) as folder:
        tables = [
            write_whole(
                folder / name, pd.DataFrame(of(comparison)).convert_dtypes().to_csv(index=False)
            )
            for name, of in rows.items()
        ]
        png, svg = save_figures(lambda: draw(comparison), folder, "comparison")
        text = svg.read_text(encoding="utf-8")
        page = save_comparison_page(comparison, folder / "index.html", svg=text)
    return [Path(out) / path.name for path in (*tables, png, svg, page)]
