"""One study: its state, the best network so far, every step and trial.

examples:
  expand3d status quiet-heron
  expand3d status quiet-heron --json
"""

from __future__ import annotations

import argparse
import json

from rich.console import Console
from rich.table import Table

from expand3d.cli.words import duration, network_text, score_text
from expand3d.cost.price import cost_text
from expand3d.search.select import label
from expand3d.study.folder import DEFAULT_ROOT, resume_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the study")
    parser.add_argument("--root", default=DEFAULT_ROOT, help="folder where studies live")
    parser.add_argument("--storage", help="URL of the Optuna storage that holds the record")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    from expand3d.report.status import final_text, status_json
    from expand3d.report.view import load_view

    view = load_view(args.name, root=args.root, storage=args.storage)
    if args.json:
        print(json.dumps(status_json(view), indent=2))
        return 0
    console = Console(highlight=False)
    console.print(f"[bold]{view.name}[/]: {view.state}, budget {view.budget_text}")
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("trial", "step", "axis", "network", "cost", "result", "time"):
        table.add_column(column, overflow="fold")
    for trial in view.trials:
        candidate = trial.candidate
        mark = " *" if view.best is not None and trial.number == view.best.number else ""
        table.add_row(
            f"{trial.number}{mark}",
            "" if candidate.step is None else str(candidate.step),
            label(candidate),
            network_text(candidate),
            cost_text(candidate),
            score_text(trial),
            duration(sum(training.seconds for training in trial.trainings.values())),
        )
    console.print(table)
    for step in view.steps:
        console.print(step.text, style="dim", soft_wrap=True)
    last = final_text(view)
    if last:
        console.print(last, soft_wrap=True)
    if view.state != "running" and any(trial.state == "running" for trial in view.baselines):
        console.print(f"go on with the baselines: expand3d baselines --study {view.name}")
    if view.state not in ("running", "finished"):
        again = resume_command(args.name, root=args.root, storage=args.storage)
        console.print(f"continue with: {again}", soft_wrap=True)
    return 0
