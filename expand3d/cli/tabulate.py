"""Train every network that an expansion may come to into a table, on which strategies are compared.

examples:
  expand3d tabulate --budget 0.15GFLOPs --study table
  expand3d tabulate --budget 0.15GFLOPs --study table --draws 40 --repeats 3 --repeated 60
  expand3d resume table                         goes on where it was stopped or killed
  expand3d tabulate --from table --out table/   what is there by now, as Parquet

A table is a study like any other: `status` shows it, and Ctrl-C stops it cleanly. It may take days.
"""

from __future__ import annotations

import argparse
from typing import get_args

from expand3d.cli.flags import add_config_flags, add_force_flag, config_values
from expand3d.cli.parser import whole
from expand3d.core.errors import ConfigError
from expand3d.core.files import refuse_occupied, refuse_unwritable
from expand3d.core.recipe import Anneal
from expand3d.study.config import StudyConfig
from expand3d.study.folder import DEFAULT_ROOT

#: The keys of a study that a table uses.
KEYS = (
    *("budget", "family", "start", "ratio", "first_clip", "draws", "repeated", "only_first"),
    *("rungs", "data", "prefix", "val_data", "group_by_name", "fps", "val", "test", "val_groups"),
    *("test_groups", "skip_bad", "allow_same", "cache_cap", "profile", "recipe", "seed", "folds"),
    *("repeats", "name", "device", "threads", "executor", "workers", "devices", "address"),
    *("time_limit", "candidate_timeout", "storage", "root"),
)
#: Clip visits of a training, and those after which it is tested on its way.
VISITS = 2_000
RUNGS = (125, 250, 500, 1_000)
#: Views of a clip in a test: five tests of two parts would cost more than the training.
VIEWS = 1
#: The warm-up's share of the visits, so short that it ends before the first rung.
WARMUP = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--visits",
        type=whole(1),
        default=VISITS,
        metavar="N",
        help=f"clip visits of every training (default: {VISITS})",
    )
    parser.add_argument(
        "--anneal",
        choices=[name for name in get_args(Anneal) if name != "cosine"],
        default="average",
        help="how a rung's test becomes that of a training which ends there: branch cools the "
        "learning rate down and goes on from before, average tests the last weights' average "
        "(default: average)",
    )
    parser.add_argument(
        "--from", dest="study", metavar="STUDY", help="write what this study's record has by now"
    )
    parser.add_argument("--out", metavar="DIR", help="folder of the table that --from writes")
    parser.add_argument(
        "--untrained",
        action="store_true",
        help="with --from: write scores without training too, which takes seconds a network",
    )
    add_force_flag(parser)
    add_config_flags(parser, KEYS)
    parser.add_argument("--plan", action="store_true", help="show the plan and stop")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def main(args: argparse.Namespace) -> int:
    if args.study is not None or args.out is not None or args.untrained:
        return _write(args)
    config = _config(args)
    from expand3d.cli.live import watch_for
    from expand3d.cli.outcome import SignalStop, print_outcome
    from expand3d.run.driver import run_study

    watch = watch_for(json=args.json)
    with SignalStop(watch) as stop:
        try:
            outcome = run_study(config, watch=watch, stop=stop, confirm=lambda: not args.plan)
        finally:
            watch.close()
    if outcome is None:  # only the plan was asked for
        return 0
    print_outcome(outcome, as_json=args.json)
    return 0 if outcome.finished else 130


def _write(args: argparse.Namespace) -> int:
    if args.study is None or args.out is None:
        raise ConfigError("--from and --out belong together, as in --from table --out table/")
    from expand3d.report.tabular.write import write_table
    from expand3d.study.record import Record

    refuse_occupied(args.out, force=args.force)
    refuse_unwritable(args.out)
    root = DEFAULT_ROOT if args.root is None else args.root
    record, scores = Record.open(args.study, root=root, storage=args.storage), None
    if args.untrained:
        from expand3d.cli.live import PlainWatch
        from expand3d.run.untrained import score_untrained

        scores = score_untrained(record, watch=PlainWatch())
    for path in write_table(record, args.out, untrained=scores):
        print(path)
    return 0


def _config(args: argparse.Namespace) -> StudyConfig:
    """The study of a table, by the flags and what a table has of its own."""
    flags = config_values(args)
    recipe = {"clip_visits": args.visits, "warmup": WARMUP, "test_views": VIEWS}
    flags["recipe"] = {**recipe, "anneal": args.anneal, **flags.get("recipe", {})}
    rungs = [rung for rung in RUNGS if rung < args.visits]
    mine = {"strategy": "tabulate", "score_test": True, "final": False, "rungs": rungs}
    return StudyConfig.from_mapping({**mine, **flags})
