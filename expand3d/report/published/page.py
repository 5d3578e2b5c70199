"""The published results as one HTML file: the picture, what is unfair in it, rows and sources."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from expand3d.core.files import write_whole
from expand3d.report import markup
from expand3d.report.style import WIDE_CSS, page

PAGE = page(
    "Published results on Kinetics-400",
    """\
<p class="lead">$lead</p>
<figure>$svg</figure>
<h2>Before comparing</h2>
<ul>$hazards</ul>
<h2>Results</h2>
$results
<h2>Sources</h2>
<ul>$sources</ul>
<footer>Written by expand3d from the table that is packaged with it.</footer>
""",
    css=WIDE_CSS + "td:last-child { min-width: 240px; }\n",
)
AXIS = {
    "total": "The picture's axis is the cost of a whole inference, one view times the number of "
    "views: the printed accuracy was reached with all of them, from 1 to 250 of them.",
    "view": "The picture's axis is the cost of one view, as most papers print it. The printed "
    "accuracy was reached with all views, from 1 to 250 of them: where their numbers differ, this "
    "axis flatters whoever used more.",
}
HAZARDS = (
    "Results are comparable inside one group only: same test protocol, same pretraining, cost "
    "counted at the crop that was tested.",
    "GMACs are what the sources print as GFLOPs: multiply-adds of one view. Every figure that was "
    "re-counted is such a number, none is twice that; 'counting' says how each was checked.",
    "Counters that add BatchNorm and other small layers print 1 to 10% more than conv + linear.",
    "The crop printed beside a figure is often not the one it was counted at: 256 where 224 is "
    "printed makes 1.31 times the cost. Where accuracy was measured at a larger crop than the cost "
    "was counted at, an arrow says that the true cost is higher.",
    "Optical flow is never counted in the cost of networks that read it.",
    "Networks that sample frames over the video print the cost of all frames of one crop; their "
    "views are crops of one clip.",
    "Top-1 is video-level, scores averaged over views. Accuracy of single clips, 10 to 12 points "
    "lower in some papers, is not in this table.",
    "Validation sets shrink as videos vanish: mmaction2 tests on 19,796 videos. Results on the "
    "test set are listed, not drawn.",
)
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
    """Write the page of `rows` (see published_rows) with the picture inside; its path."""
    sources = list(dict.fromkeys(row["source"] for row in rows))
    drawn = sum(not row["not_drawn"] for row in rows)
    columns = (*COLUMNS, f"differs from {rows[0]['reference']} in", "source", "note")
    body = [markup.row(_cells(row, 1 + sources.index(row["source"]))) for row in rows]
    text = PAGE.substitute(
        lead=escape(f"{len(rows)} results as printed, {drawn} of them drawn. {AXIS[cost]}"),
        svg=svg[svg.index("<svg") :],
        hazards="".join(f"<li>{escape(hazard)}</li>" for hazard in HAZARDS),
        results=markup.table(columns, body),
        sources="".join(f"<li>[{n}] {escape(source)}</li>" for n, source in enumerate(sources, 1)),
    )
    return write_whole(path, text)


def _cells(row: dict[str, Any], source: int) -> list[str]:
    crops = f"{_said(row['crop_counted'])} / {_said(row['crop_tested'])}"
    if row["crop_printed"]:
        crops += f" ({row['crop_printed']})"
    views = f"{row['protocol']} = {row['views']}" if row["views"] else row["protocol"]
    notes = [f"not drawn: {row['not_drawn']}"] if row["not_drawn"] else []
    notes += [row["note"]] if row["note"] else []
    return [
        markup.cell(f"{row['family']} {row['variant']}"),
        markup.cell(f"{row['frames']}, {row['sampling'] or '–'}", "number"),
        markup.cell(crops, "number"),
        markup.cell(_said(row["gmacs_per_view"]), "number"),
        markup.cell(views or "–", "number"),
        markup.cell(_said(row["gmacs_total"]), "number"),
        markup.cell(row["counting"]),
        markup.cell(_said(row["params_m"]), "number"),
        markup.cell(row["pretraining"]),
        markup.cell(f"{row['top1']:.1f}", "number"),
        markup.cell(row["differs_from_reference"]),
        markup.cell(f"[{source}]", "number"),
        markup.cell("; ".join(notes)),
    ]


def _said(value: float | None) -> str:
    return "–" if value is None else f"{value:,.5g}"
