"""Join a study as one of many workers, on any machine that reaches its record.

examples:
  expand3d run --budget 4GFLOPs --data videos/ --study mine --strategy tpe --batch 8 \\
      --storage postgresql://user:password@server/expand3d --create
  expand3d worker mine --storage postgresql://user:password@server/expand3d
  expand3d worker mine --storage ... --data /scratch/videos --device cuda:1

Trains what no other worker has claimed and ends when the study is finished; any number may come and
go. What a dead worker was training is taken over. Ctrl-C or SIGTERM stop this one cleanly.
"""

from __future__ import annotations

import argparse

from expand3d.cli.flags import add_config_flags, config_values
from expand3d.core.units import parse_duration
from expand3d.study.folder import DEFAULT_ROOT, study_command

HERE = ("data", "prefix", "device", "threads", "final_threads", "cache_cap", "storage", "root")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the study")
    add_config_flags(parser, only=HERE, defaults=False)
    parser.add_argument(
        "--dead-after",
        default="60s",
        metavar="TIME",
        help="without a sign of life for so long, others take this worker for dead (60s)",
    )


def main(args: argparse.Namespace) -> int:
    from expand3d.cli.live import PlainWatch
    from expand3d.cli.outcome import SignalStop
    from expand3d.run.worker import join_study

    study = args.name
    args.name = None
    patience = parse_duration(args.dead_after)
    changes = config_values(args)
    root, storage = changes.pop("root", DEFAULT_ROOT), changes.pop("storage", None)
    watch = PlainWatch()
    with SignalStop(watch) as stop:
        outcome = join_study(
            study,
            root=root,
            storage=storage,
            changes=changes,
            patience=patience,
            watch=watch,
            stop=stop,
        )
    if outcome.finished:
        look = study_command("status", study, root=root, storage=storage)
        print(f"finished; look: {look}")
        return 0
    again = study_command("worker", study, root=root, storage=storage)
    print(f"{outcome.reason}; join again with: {again}")
    return 130
