"""The frontier of a study: the networks that no other one beats in accuracy and in cost.

examples:
  expand3d pareto quiet-heron
  expand3d pareto quiet-heron --csv > frontier.csv
"""

from __future__ import annotations

import argparse
import json
import sys

from expand3d.cli.flags import add_record_flags
from expand3d.cli.tables import print_table
from expand3d.cost.price import cost_text
from expand3d.report.study.naming import network_text
from expand3d.study.damaged import reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d pareto`."""
    parser.add_argument("name", metavar="NAME", help="the study")
    add_record_flags(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the frontier and its hypervolume")
    form.add_argument("--csv", action="store_true", help="one row per network of the frontier")


def main(args: argparse.Namespace) -> int:
    """Print the frontier; 0."""
    with reading(args.name):
        _print(args)
    return 0


def _print(args: argparse.Namespace) -> None:
    from expand3d.report.study.table import dataframe, rows
    from expand3d.report.study.view import load_view

    view = load_view(args.name, root=args.root, storage=args.storage)
    if args.json:
        by_number = {row["number"]: row for row in rows(view)}
        found = [by_number[trial.number] for trial in view.frontier]
        data = {"study": view.name, "hypervolume": view.hypervolume, "frontier": found}
        print(json.dumps(data, indent=2))
        return
    if args.csv:
        table = dataframe(view).set_index("number", drop=False)
        table.loc[[trial.number for trial in view.frontier]].to_csv(sys.stdout, index=False)
        return
    on_path, shown = set(view.path), []
    for trial in view.frontier:
        score = view.scores[trial.number]
        low, high = score.top1_ci
        shown.append(
            (
                str(trial.number),
                view.origin(trial),
                network_text(trial.candidate),
                cost_text(trial.candidate),
                f"{score.top1:.1%}",
                f"{low:.0%} to {high:.0%}",
                f"{score.mean_class:.1%}",
                f"{score.nll:.3f}",
                "best" if trial is view.best else "path" if trial.number in on_path else "",
            )
        )
    print_table(
        f"{view.name}: {len(shown)} of {len(view.complete)} scored networks on the frontier",
        ("trial", "from", "network", "cost", "top-1", "95%", "mean class", "log-loss", ""),
        shown,
        numbers=("trial", "cost", "top-1", "95%", "mean class", "log-loss"),
        caption=f"hypervolume {view.hypervolume:.4f} (accuracy x decades of "
        f"{view.quantity.noun}, up to "
        f"chance and twice the budget); path: chosen by a step of the expansion",
    )
