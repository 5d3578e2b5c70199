"""The frontier of a study as CSV, PNG and SVG, and a page that holds them with the steps.

examples:
  expand3d report quiet-heron --out quiet-heron-report
"""

from __future__ import annotations

import argparse

from expand3d.study.folder import DEFAULT_ROOT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d report`."""
    parser.add_argument("name", metavar="NAME", help="the study")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the four files")
    parser.add_argument("--root", default=DEFAULT_ROOT, help="folder where studies live")
    parser.add_argument("--storage", help="URL of the Optuna storage that holds the record")


def main(args: argparse.Namespace) -> int:
    """Write the report and print its files; 0."""
    from expand3d.report.view import load_view
    from expand3d.report.write import write_report

    view = load_view(args.name, root=args.root, storage=args.storage)
    for path in write_report(view, args.out):
        print(path)
    return 0
