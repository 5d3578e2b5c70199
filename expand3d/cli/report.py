"""The frontier of a study as CSV, PNG and SVG, and a page that holds them with the steps.

With --published instead of a study: Kinetics-400 accuracy against cost as papers and model zoos
print it, each result with its source, and marks on those that may not be compared.

examples:
  expand3d report quiet-heron --out quiet-heron-report
  expand3d report --published --out published
  expand3d report --published --families x3d,slowfast --cost view --out two
  expand3d report --published --json
"""

from __future__ import annotations

import argparse

from expand3d.errors import ConfigError
from expand3d.study.folder import DEFAULT_ROOT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d report`."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="the study")
    parser.add_argument("--out", metavar="DIR", help="folder for the four files")
    parser.add_argument("--root", default=DEFAULT_ROOT, help="folder where studies live")
    parser.add_argument("--storage", help="URL of the Optuna storage that holds the record")
    group = parser.add_argument_group("published results, in place of a study")
    group.add_argument("--published", action="store_true", help="report what others published")
    group.add_argument(
        "--cost",
        choices=("total", "view"),
        help="the picture's axis: one view times the number of views (default), or one view",
    )
    group.add_argument("--families", metavar="A,B", help="only these families")
    group.add_argument("--json", action="store_true", help="print the rows; --out may be missing")


def main(args: argparse.Namespace) -> int:
    """Write the report and print its files; 0."""
    if args.published:
        return _published(args)
    if args.name is None:
        raise ConfigError("report needs a study's NAME, or --published")
    for flag in ("cost", "families", "json"):
        if getattr(args, flag):
            raise ConfigError(f"--{flag} belongs to --published; a study's report has none")
    if args.out is None:
        raise ConfigError(f"--out is missing: name a folder, as in --out {args.name}-report")

    from expand3d.report.view import load_view
    from expand3d.report.write import write_report

    view = load_view(args.name, root=args.root, storage=args.storage)
    for path in write_report(view, args.out):
        print(path)
    return 0


def _published(args: argparse.Namespace) -> int:
    import json

    from expand3d.report.published import load_published, published_rows

    if args.name is not None:
        raise ConfigError(f"--published reports no study: leave out {args.name!r}, or the flag")
    if not args.json and args.out is None:
        raise ConfigError("--out is missing: name a folder, as in --out published, or use --json")
    results = load_published(args.families.split(",") if args.families else ())
    cost = args.cost or "total"
    if args.json:
        print(json.dumps(published_rows(results, cost=cost), indent=1))
    if args.out is not None:
        from expand3d.report.published_write import write_published

        for path in write_published(results, args.out, cost=cost):
            if not args.json:
                print(path)
    return 0
