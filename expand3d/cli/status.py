"""One study: its state, the best network so far, every step and trial; without NAME, all studies.

examples:
  expand3d status                        the studies here, as `expand3d studies`
  expand3d status quiet-heron
  expand3d status quiet-heron --json
"""

from __future__ import annotations

import argparse
import json

from rich.console import Console

from expand3d.cli.flags import add_record_flags
from expand3d.cli.studies import print_studies
from expand3d.cli.words import columns, duration, score_text
from expand3d.core.errors import ConfigError
from expand3d.core.trial import Trial
from expand3d.cost.price import cost_text
from expand3d.report.study.naming import network_text
from expand3d.search.statistics import label
from expand3d.study.damaged import reading
from expand3d.study.failures import advice
from expand3d.study.folder import resume_command, study_command

HEAD = ("trial", "step", "axis", "network", "cost", "time", "result")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="the study; all are listed if left out"
    )
    add_record_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Print one study, or a line for each; 0."""
    if args.name is None:
        if args.storage:
            raise ConfigError("--storage holds many studies: add the NAME of one")
        print_studies(args.root, as_json=args.json)
        return 0
    with reading(args.name):
        _print(args)
    return 0


def _print(args: argparse.Namespace) -> None:
    from expand3d.report.study.raced import race_text
    from expand3d.report.study.status import final_text, status_json, trained_lines
    from expand3d.report.study.view import load_view

    view = load_view(args.name, root=args.root, storage=args.storage)
    if args.json:
        print(json.dumps(status_json(view), indent=2))
        return
    console = Console(highlight=False)
    console.print(f"[bold]{view.name}[/]: {view.state}, budget {view.budget_text}")
    head, *lines = columns([HEAD, *(_row(trial, view.best) for trial in view.trials)])
    console.print(head, style="dim", soft_wrap=True)
    if lines:
        console.print("\n".join(lines), markup=False, soft_wrap=True)
    for step in view.steps:
        parts = [step.text, step.price_text]
        console.print("; ".join(filter(None, parts)), style="dim", soft_wrap=True)
    if price := race_text(view):
        console.print(price, style="dim", soft_wrap=True)
    if view.confirmed:
        console.print(view.confirmed, soft_wrap=True)
    last = final_text(view)
    if last:
        console.print(last, soft_wrap=True)
    for line in trained_lines(view):
        console.print(line, markup=False, soft_wrap=True)
    if view.state != "running" and any(trial.state == "running" for trial in view.baselines):
        again = study_command("baselines --study", view.name, root=args.root, storage=args.storage)
        console.print(f"go on with the baselines: {again}", markup=False, soft_wrap=True)
    if view.state not in ("running", "finished"):
        again = resume_command(args.name, root=args.root, storage=args.storage)
        told = advice(view.trials, resume=again) if view.stuck else None
        console.print(told or f"continue with: {again}", markup=False, soft_wrap=True)


def _row(trial: Trial, best: Trial | None) -> tuple[str, ...]:
    candidate = trial.candidate
    return (
        f"{trial.number}{' *' if best is not None and trial.number == best.number else ''}",
        "" if candidate.step is None else str(candidate.step),
        label(candidate),
        network_text(candidate),
        cost_text(candidate),
        duration(trial.seconds),
        score_text(trial),
    )
