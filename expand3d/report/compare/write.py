"""The five files of a comparison."""

from __future__ import annotations

from pathlib import Path

from expand3d.report.compare.comparison import StudyComparison, comparison_rows, curve_rows
from expand3d.report.compare.figure import save_comparison_figures
from expand3d.report.compare.page import save_comparison_page


def write_comparison(comparison: StudyComparison, out: str | Path) -> list[Path]:
    """Write comparison.csv, hypervolume.csv, comparison.png, .svg and index.html; their paths.

    Files of these names in the folder `out` are replaced.
    """
    import pandas as pd

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    tables = [out / "comparison.csv", out / "hypervolume.csv"]
    for path, rows in zip(
        tables, (comparison_rows(comparison), curve_rows(comparison)), strict=True
    ):
        pd.DataFrame(rows).convert_dtypes().to_csv(path, index=False)
    png, svg = save_comparison_figures(comparison, out)
    text = svg.read_text(encoding="utf-8")
    return [*tables, png, svg, save_comparison_page(comparison, out / "index.html", svg=text)]
