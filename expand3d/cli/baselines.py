"""Train published networks like a study's candidates, into the same record, to compare with.

examples:
  expand3d baselines --study quiet-heron
  expand3d baselines --study quiet-heron --presets x3d-xs x3d-s
  expand3d baselines --study new --budget 0.3GFLOPs --data videos/ --max-budget 1GFLOPs
  expand3d report quiet-heron --out quiet-heron-report

In a study that is there, data, recipe and seed are its own; otherwise the flags of `run` start a
study, which `expand3d resume` then expands. Every family's base takes part beside its published
networks, as FAMILY-base. What the record knows is not trained again, so the same command goes on
after an interruption.
"""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

from expand3d.cli.flags import add_config_flags, config_values
from expand3d.core.errors import ConfigError, StudyError
from expand3d.core.plugins import FAMILIES
from expand3d.study.config import StudyConfig
from expand3d.study.folder import DEFAULT_ROOT, study_command

if TYPE_CHECKING:
    from expand3d.report.study.view import StudyView
    from expand3d.run.baselines import Selection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d baselines`: those of `run`, and which networks."""
    networks = parser.add_argument_group("networks")
    which = networks.add_mutually_exclusive_group()
    which.add_argument(
        "--families",
        nargs="+",
        metavar="FAMILY",
        default=list(FAMILIES),
        help="families whose published networks take part (default: all)",
    )
    which.add_argument(
        "--presets", nargs="+", metavar="NAME", default=[], help="these networks and no others"
    )
    networks.add_argument(
        "--max-budget",
        metavar="COST",
        help="leave out costlier networks (default: twice the study's budget; none with --presets)",
    )
    parser.add_argument(
        "--keep-weights",
        action="store_true",
        help="keep the weights of every training, one per fold and repeat, for eval STUDY:NUMBER",
    )
    parser.add_argument("--plan", action="store_true", help="show the plan and stop")
    add_config_flags(parser)


def main(args: argparse.Namespace) -> int:
    """Train what is missing and print every baseline; 0, or 130 where it was stopped."""
    from expand3d.cli.live import watch_for
    from expand3d.cli.outcome import SignalStop
    from expand3d.report.study.view import load_view
    from expand3d.run.baselines import add_baselines, new_baselines, plan_baselines
    from expand3d.run.runner import STOPPED, TIME_LIMIT

    selection, values = _selection(args), config_values(args)
    root, storage = values.get("root", DEFAULT_ROOT), values.get("storage")
    watch = watch_for(json=False)
    with SignalStop(watch) as stop:
        common: dict[str, Any] = {
            "keep_weights": args.keep_weights,
            "watch": watch,
            "stop": stop,
        }
        try:
            there = _is_there(values, root, storage)
            changes = {k: v for k, v in values.items() if k not in ("name", "root", "storage")}
            if args.plan:
                config = None if there else StudyConfig.from_mapping(values)
                where: dict[str, Any] = {"root": root, "storage": storage, "changes": changes}
                plan_baselines(config or args.name, selection, **where, watch=watch)
                return 0
            if there:
                outcome = add_baselines(
                    args.name, selection, root=root, storage=storage, changes=changes, **common
                )
            else:
                outcome = new_baselines(StudyConfig.from_mapping(values), selection, **common)
        finally:
            watch.close()
    print_baselines(load_view(outcome.name, root=outcome.root, storage=outcome.storage))
    if outcome.reason in (STOPPED, TIME_LIMIT):
        print(f"{outcome.reason}; continue with: {_again(args, outcome.name, root, storage)}")
        return 130
    out = f"--out {outcome.name}-report"
    print(f"look:   {study_command('report', outcome.name, out, root=root, storage=storage)}")
    return 0


def _selection(args: argparse.Namespace) -> Selection:
    from expand3d.core.budget import parse_macs
    from expand3d.run.baselines import Selection

    most = parse_macs(args.max_budget) if args.max_budget else None
    return Selection(tuple(args.families), tuple(args.presets), most)


def _is_there(values: dict[str, Any], root: str, storage: str | None) -> bool:
    """True where the study is there already; an error where it is neither there nor described."""
    from expand3d.study.record import Record

    if "name" not in values:
        if "budget" not in values:
            raise ConfigError("name a study with --study, or give --budget to start one")
        return False
    try:
        Record.open(values["name"], root=root, storage=storage)
    except StudyError as error:
        if "budget" not in values:
            raise StudyError(f"{error}; --budget starts a new one") from None
        return False
    return True


def _again(args: argparse.Namespace, name: str, root: str, storage: str | None) -> str:
    words = []
    words += ["--presets", *args.presets] if args.presets else []
    words += ["--families", *args.families] if args.families != list(FAMILIES) else []
    words += ["--max-budget", args.max_budget] if args.max_budget else []
    words += ["--keep-weights"] if args.keep_weights else []
    more = [shlex.join(words)] if words else []
    return study_command("baselines --study", name, *more, root=root, storage=storage)


def print_baselines(view: StudyView) -> None:
    """Every baseline of the record with its clip, its cost and what it scored."""
    from expand3d.cli.tables import print_table

    shown = []
    for trial in view.baselines:
        plan, score = trial.candidate.plan, view.scores.get(trial.number)
        result = f"{score.top1:.1%}" if score else trial.why
        interval = f"{score.top1_ci[0]:.0%} to {score.top1_ci[1]:.0%}" if score else ""
        by_class = f"{score.mean_class:.1%}" if score else ""
        shown.append(
            (
                view.names[trial.number],
                f"{trial.candidate.macs / 1e9:.3f}",
                f"{trial.cost['params'] / 1e6:.2f} M",
                result,
                interval,
                by_class,
                f"{plan.frames} x {plan.stride}",
                f"{plan.crop}",
            )
        )
    count = "1 baseline" if len(shown) == 1 else f"{len(shown)} baselines"
    print_table(
        f"{view.name}: {count}, trained like the study's candidates",
        ("network", "GMACs", "params", "top-1", "95%", "mean class", "frames x stride", "crop"),
        shown,
        numbers=("GMACs", "params", "95%", "mean class", "frames x stride", "crop"),
    )
