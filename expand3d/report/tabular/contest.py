"""A contest on a table as files: curves and agreements as CSV, and their picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from expand3d.core.files import make_folder, write_whole
from expand3d.report import plot
from expand3d.report.tabular.standings import (
    Agreement,
    Interval,
    Standing,
    agreements,
    standing,
)
from expand3d.search.tabular.contest import EXPAND, Course, Entrant, run
from expand3d.search.tabular.table import Table

#: Costs under which an accuracy is asked for, as parts of the table's budget.
PARTS = (1 / 4, 1 / 2, 1)


@dataclass(frozen=True)
class Contest:
    """The standings of all entrants, judged alike, and how well cheaper scores rank.

    `limit` is in multiply-adds; `seeds` counts the repetitions of each entrant.
    """

    standings: tuple[Standing, ...]
    seeds: dict[str, int]
    agreements: tuple[Agreement, ...]
    limit: float
    networks: int


def hold(
    table: Table, entrants: Sequence[Entrant], *, seeds: dict[str, int], limit: float | None = None
) -> Contest:
    """The contest of some entrants with so many seeds each, every one up to `limit` multiply-adds.

    Without a limit, it is what the expansion spends with whole trainings on average.
    """
    courses: dict[str, list[Course]] = {}
    if limit is None:
        expand = Entrant(EXPAND, EXPAND, table.whole)
        count = max(seeds.values())
        runs = [run(expand, table, seed, limit=math.inf) for seed in range(count)]
        limit = sum(course.seen[-1].spent for course in runs) / count
    for entrant in entrants:
        courses[entrant.name] = [
            run(entrant, table, seed, limit=limit) for seed in range(seeds[entrant.name])
        ]
    budgets = [round(part * table.expansion.budget) for part in PARTS]
    return Contest(
        tuple(standing(each, table, limit=limit, budgets=budgets) for each in courses.values()),
        seeds,
        agreements(table),
        limit,
        len(table.rows),
    )


def contest_rows(contest: Contest) -> list[dict[str, Any]]:
    """A row per entrant and place of the curves, as JSON values."""
    return [
        {
            "strategy": each.name,
            "seeds": contest.seeds[each.name],
            "spent_macs": round(spent),
            **_columns("hypervolume", each.hypervolume[place]),
            **{
                key: value
                for budget, found in each.best.items()
                for key, value in _columns(f"top1_under_{budget}", found[place]).items()
            },
        }
        for each in contest.standings
        for place, spent in enumerate(each.spent)
    ]


def _columns(name: str, found: Interval) -> dict[str, float | None]:
    low, high = (None if math.isnan(bound) else bound for bound in (found.low, found.high))
    return {name: found.mean, f"{name}_low": low, f"{name}_high": high}


def write_contest(contest: Contest, folder: str | Path) -> list[Path]:
    """The files of a contest in `folder`: contest.csv, agreement.csv and their picture."""
    made = make_folder(folder)
    ranks = [each._asdict() for each in contest.agreements]
    return [
        write_whole(made / "contest.csv", _csv(contest_rows(contest))),
        write_whole(made / "agreement.csv", _csv(ranks)),
        *plot.save_figures(lambda: _figure(contest), made, "contest"),
    ]


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _figure(contest: Contest) -> Figure:
    """Hypervolume, and the accuracy within the whole budget, against what was spent."""
    figure = plot.new_figure(11.5, 5.6)
    left, right = figure.subplots(1, 2)
    for place, each in enumerate(contest.standings):
        color = plot.PALETTE[place % len(plot.PALETTE)]
        dashes = "-" if place < len(plot.PALETTE) else "--"
        xs = [spent / 1e12 for spent in each.spent]
        for axes, curve in ((left, each.hypervolume), (right, each.best[max(each.best)])):
            scale = 1 if axes is left else 100
            means = [scale * found.mean for found in curve]
            axes.plot(xs, means, color=color, linestyle=dashes, linewidth=1.8, label=each.name)
            low, high = ([scale * bound for bound in ends] for ends in _ends(curve))
            axes.fill_between(xs, low, high, color=color, alpha=0.12, linewidth=0)
    for axes, name in (
        (left, "Hypervolume (accuracy × decades of cost)"),
        (right, "Top-1 on test clips within the budget (%)"),
    ):
        axes.set_xscale("log")
        axes.set_xlabel("Multiply-adds of trainings and scoring (TMACs)")
        axes.set_ylabel(name)
        plot.grid(axes)
    left.legend(frameon=False, fontsize=9)
    seeds = sorted(set(contest.seeds.values()))
    counted = " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
    line = f"{contest.networks} networks; {counted} repetitions each, mean and 95% interval"
    plot.title(figure, "Strategies on a table of trained networks", [line])
    return figure


def _ends(curve: Sequence[Interval]) -> tuple[list[float], list[float]]:
    return [found.low for found in curve], [found.high for found in curve]
