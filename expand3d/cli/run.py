"""Find the best network inside a budget: expand a tiny one step by step on labelled videos.

examples:
  expand3d run --budget 0.1GFLOPs                      the bundled clips
  expand3d run --budget 4GFLOPs --data videos/ --study mine
  expand3d run --budget 4GFLOPs --data list.csv --profile standard --folds 4
  expand3d run --budget 4GFLOPs --data videos/ --strategy tpe --trials 40
  expand3d run studies/quickstart.toml                 every flag is a key of a study file

Shows the plan first, then trains; Ctrl-C stops cleanly and prints the resume command.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from expand3d.cli.flags import add_config_flags, config_values
from expand3d.core.recipe import PROFILES
from expand3d.core.result import TRAINING_FACTOR
from expand3d.study.config import StudyConfig, read_toml
from expand3d.study.folder import study_command
from expand3d.study.sections import TABLES

if TYPE_CHECKING:
    from expand3d.cli.live import PlainWatch

#: What a profile's cost is stated for.
EXAMPLE_MACS = 10**8


def _profiles() -> str:
    """Each profile with what one candidate costs under it."""
    rows = []
    for name, recipe in PROFILES.items():
        length = f"{recipe.epochs} epochs"
        macs = f"{TRAINING_FACTOR} x MACs x training clips x epochs"
        if recipe.clip_visits is not None:
            length = f"{recipe.clip_visits:,} clip visits"
            each = TRAINING_FACTOR * EXAMPLE_MACS * recipe.clip_visits
            macs = f"{each / 1e12:g} TMACs at 0.1 GMACs"
        rows.append(
            f"  {name:<9} {length}, batch {recipe.batch}, {recipe.test_views} test views: {macs}"
        )
    return "profiles, and the training cost of one candidate:\n" + "\n".join(rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _profiles()
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="a study file; flags override its keys"
    )
    add_config_flags(parser)
    parser.add_argument(
        "--create", action="store_true", help="only begin the record; expand3d worker trains"
    )
    parser.add_argument("--plan", action="store_true", help="show the plan and stop")
    parser.add_argument(
        "--json", action="store_true", help="print the outcome, or the plan, as JSON"
    )


def main(args: argparse.Namespace) -> int:
    config = _config(args)
    from expand3d.cli.live import watch_for
    from expand3d.cli.outcome import SignalStop, print_outcome, print_plan
    from expand3d.run.driver import plan_study, run_study

    watch = watch_for(json=args.json)
    if args.create and not args.plan:
        return _create(config, watch)
    with SignalStop(watch) as stop:
        try:
            if args.plan:
                return print_plan(plan_study(config, watch=watch), as_json=args.json)
            outcome = run_study(config, watch=watch, stop=stop)
        finally:
            watch.close()
    assert outcome is not None, "nobody refused the plan"
    print_outcome(outcome, as_json=args.json)
    return 0 if outcome.finished else 130


def _create(config: StudyConfig, watch: PlainWatch) -> int:
    from expand3d.run.worker import create_study

    try:
        name = create_study(config, watch=watch)
    finally:
        watch.close()
    worker = study_command("worker", name, root=config.root, storage=config.storage)
    print(f"study {name} is there; train it with: {worker}")
    return 0


def _config(args: argparse.Namespace) -> StudyConfig:
    """The study file's keys, if there is one, with the flags on top."""
    values, flags = read_toml(args.file) if args.file else {}, config_values(args)
    for table in TABLES:
        if table in flags:
            flags[table] = {**values.get(table, {}), **flags[table]}
    return StudyConfig.from_mapping({**values, **flags}, source=args.file or "")
