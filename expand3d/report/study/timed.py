"""A study's networks against their latency in one runtime: a picture and a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.core.files import make_folder, write_whole
from expand3d.core.measured import Latency
from expand3d.report import plot
from expand3d.report.plot import FAINT, FRONTIER
from expand3d.report.study.view import StudyView

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_timed(
    view: StudyView, latencies: Mapping[int, Latency], *, runtime: str, out: str | Path
) -> list[Path]:
    """Write latency-RUNTIME.csv, .png and .svg into `out`; their paths.

    `latencies` are those of the scored trials by number, all of one runtime on one machine.
    """
    out, name = make_folder(Path(out)), f"latency-{runtime}"
    rows = timed_rows(view, latencies)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    table = write_whole(out / f"{name}.csv", text.getvalue())
    return [table, *plot.save_figures(lambda: _draw(view, rows, runtime), out, name)]


def timed_rows(view: StudyView, latencies: Mapping[int, Latency]) -> list[dict[str, Any]]:
    """A row per scored trial, fastest first: accuracy from 0 to 1, milliseconds.

    `frontier` is 1 where none that is as fast is as accurate.
    """
    trials = [trial for trial in view.complete if trial.number in latencies]
    best, rows = 0.0, []
    order = {t.number: (latencies[t.number].median, -view.scores[t.number].top1) for t in trials}
    for trial in sorted(trials, key=lambda each: order[each.number]):
        score, latency = view.scores[trial.number], latencies[trial.number]
        low, high = score.top1_ci
        rows.append(
            {
                "number": trial.number,
                "digest": trial.candidate.digest,
                "macs": trial.candidate.macs,
                "top1": score.top1,
                "top1_low": low,
                "top1_high": high,
                "latency_ms": latency.median,
                "latency_low_ms": latency.low,
                "latency_high_ms": latency.high,
                "passes": latency.runs,
                "frontier": int(score.top1 > best),
                "runtime": latency.device,
                "hardware": latency.hardware,
                "threads": latency.threads,
                "setting": latency.setting,
            }
        )
        best = max(best, score.top1)
    return rows


def _draw(view: StudyView, rows: list[dict[str, Any]], runtime: str) -> Figure:
    """Accuracy with 95% intervals against milliseconds with quartiles, 9.6 x 6 inches."""
    figure = plot.new_figure(9.6, 6.0)
    axes = figure.add_subplot()
    xs, ys = [row["latency_ms"] for row in rows], [100 * row["top1"] for row in rows]
    axes.errorbar(
        xs,
        ys,
        xerr=[
            [row["latency_ms"] - row["latency_low_ms"] for row in rows],
            [row["latency_high_ms"] - row["latency_ms"] for row in rows],
        ],
        yerr=[
            [y - 100 * row["top1_low"] for y, row in zip(ys, rows, strict=True)],
            [100 * row["top1_high"] - y for y, row in zip(ys, rows, strict=True)],
        ],
        fmt="o",
        color=FAINT,
        markeredgecolor="white",
        label="network, 95% interval and quartiles",
    )
    frontier = [(row["latency_ms"], 100 * row["top1"]) for row in rows if row["frontier"]]
    plot.staircase(axes, frontier, label="frontier", color=FRONTIER, linewidth=1.8)
    plot.chance_line(axes, view.chance)
    axes.set_xscale("log")
    first = rows[0]
    axes.set_xlabel(
        f"ms of one clip in {runtime} ({first['hardware']}, {first['threads']} threads)"
    )
    axes.set_ylabel("top-1, %")
    axes.set_title(f"{view.name}: {len(rows)} networks", loc="left")
    handles, _ = axes.get_legend_handles_labels()
    plot.legend(figure, handles, columns=3)
    return figure
