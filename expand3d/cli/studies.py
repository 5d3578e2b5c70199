"""List the studies here: their state, budget, data and number of trials.

examples:
  expand3d studies
  expand3d studies --root /data/studies --json
"""

from __future__ import annotations

import argparse
import dataclasses
import json

from rich.console import Console
from rich.table import Table
from rich.text import Text

from expand3d.cli.flags import add_record_flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_record_flags(parser, storage=False)
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Print the studies; 0."""
    print_studies(args.root, as_json=args.json)
    return 0


def print_studies(root: str, *, as_json: bool) -> None:
    """Print a line per study in `root`, or how to start one."""
    from expand3d.study.catalog import list_studies

    studies = list_studies(root)
    if as_json:
        rows = [{**dataclasses.asdict(info), "path": str(info.path)} for info in studies]
        print(json.dumps(rows, indent=2))
        return
    if not studies:
        print(f"no studies in {root}; start one with: expand3d run --budget 0.1GFLOPs")
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("study", "state", "budget", "trials", "data", "started"):
        table.add_column(column)
    for info in studies:
        state = info.state if info.reason in (None, info.state) else f"{info.state}: {info.reason}"
        stopped = f", {info.stopped} stopped" if info.stopped else ""
        trials = f"{info.complete} of {info.trials}{stopped}"
        cells = (info.name, state, info.budget, trials, info.data, info.started)
        # A Text, because brackets in a name are no markup.
        table.add_row(*(Text(cell or "") for cell in cells))
    Console(highlight=False).print(table)
