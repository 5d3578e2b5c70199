"""The five files of a comparison."""

from __future__ import annotations

from pathlib import Path

from expand3d.core.files import make_folder, write_whole
from expand3d.report.compare.comparison import StudyComparison, comparison_rows, curve_rows
from expand3d.report.compare.figure import draw
from expand3d.report.compare.page import save_comparison_page
from expand3d.report.plot import save_figures


def write_comparison(comparison: StudyComparison, out: str | Path) -> list[Path]:
    """Write comparison.csv, hypervolume.csv, comparison.png, .svg and index.html; their paths.

    Files of these names in the folder `out` are replaced.
    """
    import pandas as pd

    out = make_folder(out)
    rows = {"comparison.csv": comparison_rows, "hypervolume.csv": curve_rows}
    tables = [
        write_whole(out / name, pd.DataFrame(of(comparison)).convert_dtypes().to_csv(index=False))
        for name, of in rows.items()
    ]
    png, svg = save_figures(lambda: draw(comparison), out, "comparison")
    text = svg.read_text(encoding="utf-8")
    return [*tables, png, svg, save_comparison_page(comparison, out / "index.html", svg=text)]
