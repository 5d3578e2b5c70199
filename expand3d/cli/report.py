"""The frontier of a study as CSV, PNG and SVG, and a page that answers the mouse.

The page, index.html, is one file that works offline: a click on a network shows its curves, its
classes and the clips that it got wrong. --watch shows it on this machine while the study runs.

Several studies are compared: their frontiers in one picture, their hypervolume against what their
trainings took, a row for each. They must have scored the same clips and count the same cost.

With --published instead of a study: Kinetics-400 accuracy against cost as papers and model zoos
print it, each result with its source, and marks on those that may not be compared.

examples:
  expand3d report quiet-heron --out quiet-heron-report
  expand3d report quiet-heron --watch
  expand3d report quiet-heron --latency onnxruntime --threads 1 --out quiet-heron-report
  expand3d report grown tpe-0 tpe-1 --out compared
  expand3d report grown tpe-0 --json
  expand3d report --published --out published
  expand3d report --published --families x3d,slowfast --cost view --out two
  expand3d report --published --json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from expand3d.cli.flags import add_force_flag, add_record_flags
from expand3d.cli.parser import whole
from expand3d.core.errors import ConfigError
from expand3d.core.files import refuse_occupied, refuse_unwritable
from expand3d.core.plugins import RUNTIMES
from expand3d.study.damaged import reading

if TYPE_CHECKING:
    from expand3d.report.study.view import StudyView


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d report`."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="the study, or several to compare")
    parser.add_argument("--out", metavar="DIR", help="folder for the files, new or empty")
    add_force_flag(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help="of several studies or published results: print the rows; --out may be missing",
    )
    parser.add_argument(
        "--latency",
        choices=RUNTIMES,
        help="of one study: also time each scored network here in this runtime, and draw accuracy "
        "against it (kept, so that a second report measures nothing)",
    )
    parser.add_argument(
        "--threads", type=whole(1), metavar="N", help="CPU threads of --latency (all cores)"
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="of one study: serve its page at 127.0.0.1 until Ctrl-C, anew on news; no files",
    )
    parser.add_argument("--port", type=whole(1), metavar="N", help="port of --watch (a free one)")
    add_record_flags(parser)
    group = parser.add_argument_group("published results, in place of a study")
    group.add_argument("--published", action="store_true", help="report what others published")
    group.add_argument(
        "--cost",
        choices=("total", "view"),
        help="the picture's axis: one view times the number of views (default), or one view",
    )
    group.add_argument("--families", metavar="A,B", help="only these families")


def main(args: argparse.Namespace) -> int:
    """Write the report and print its files; 0."""
    if args.out is not None:
        refuse_occupied(args.out, force=args.force)
        refuse_unwritable(args.out)
    if args.port and not args.watch:
        raise ConfigError("--port is that of --watch; add it")
    if args.published and not args.watch:
        return _published(args)
    if not args.names:
        raise ConfigError("report needs a study's NAME, or --published")
    for flag in ("cost", "families"):
        if getattr(args, flag):
            raise ConfigError(f"--{flag} belongs to --published; a study's report has none")
    if args.watch:
        return _watched(args)
    if args.threads and not args.latency:
        raise ConfigError("--threads are those of --latency; add it")
    if args.latency and len(args.names) > 1:
        raise ConfigError("--latency draws one study; name one")
    return _compared(args) if len(args.names) > 1 else _single(args)


def _watched(args: argparse.Namespace) -> int:
    if len(args.names) > 1:
        raise ConfigError("--watch shows one study; name one")
    for flag in ("out", "json", "latency", "threads", "published"):
        if getattr(args, flag):
            raise ConfigError(f"--watch serves a page and writes nothing: leave out --{flag}")

    from expand3d.report.study.watch import serve_page

    (name,) = args.names
    serve_page(
        name,
        root=args.root,
        storage=args.storage,
        port=args.port or 0,
        say=lambda address: print(f"{name}: {address} (Ctrl-C ends it)", flush=True),
    )
    return 0


def _single(args: argparse.Namespace) -> int:
    (name,) = args.names
    if args.json:
        raise ConfigError("--json belongs to --published or to several studies, not to one")
    if args.out is None:
        raise ConfigError(f"--out is missing: name a folder, as in --out {name}-report")

    from expand3d.report.study.view import load_view
    from expand3d.report.study.write import write_report

    view = load_view(name, root=args.root, storage=args.storage)
    paths = write_report(view, args.out)
    if args.latency:
        paths += _timed(view, args)
    for path in paths:
        print(path)
    return 0


def _timed(view: StudyView, args: argparse.Namespace) -> list[Path]:
    """The files about the networks' latency in a runtime, measured now where it is not known."""
    from expand3d.core.budget import OWN
    from expand3d.measure.kept import kept_latency
    from expand3d.measure.runtimes import refuse_absent
    from expand3d.report.study.timed import write_timed

    refuse_absent(args.latency)
    device = "cpu" if args.latency == OWN else args.latency
    latencies = {}
    for trial in view.complete:
        found = kept_latency(trial.candidate.plan, device=device, threads=args.threads)
        latencies[trial.number] = found
        print(f"  trial {trial.number} in {args.latency}: {found.text}", file=sys.stderr)
    return write_timed(view, latencies, runtime=args.latency, out=args.out)


def _compared(args: argparse.Namespace) -> int:
    if args.out is None and not args.json:
        raise ConfigError("--out is missing: name a folder, as in --out compared, or use --json")

    from expand3d.report.compare.comparison import compare_studies, comparison_rows
    from expand3d.report.study.view import load_view

    views = [load_view(name, root=args.root, storage=args.storage) for name in args.names]
    with reading(", ".join(args.names)):
        comparison = compare_studies(views)
        if comparison.unlike:
            print(f"expand3d report: {comparison.unlike}", file=sys.stderr)
        paths = []
        if args.out is not None:
            from expand3d.report.compare.write import write_comparison

            paths = write_comparison(comparison, args.out)
        if args.json:
            print(json.dumps(comparison_rows(comparison), indent=1))
        else:
            print(*paths, sep="\n")
    return 0


def _published(args: argparse.Namespace) -> int:
    from expand3d.report.published.results import load_published, published_rows

    if args.names:
        raise ConfigError(f"--published reports no study: leave out {args.names[0]!r}, or the flag")
    if not args.json and args.out is None:
        raise ConfigError("--out is missing: name a folder, as in --out published, or use --json")
    results = load_published(args.families.split(",") if args.families else ())
    cost = args.cost or "total"
    if args.json:
        print(json.dumps(published_rows(results, cost=cost), indent=1))
    if args.out is not None:
        from expand3d.report.published.write import write_published

        for path in write_published(results, args.out, cost=cost):
            if not args.json:
                print(path)
    return 0
