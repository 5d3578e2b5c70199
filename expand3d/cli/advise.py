"""Tell what limits a study: clips, their length, the size of networks, or the training.

One sentence each, from what the record has, with a 95% interval; "cannot tell" where it cannot.

examples:
  expand3d advise quiet-heron
  expand3d advise quiet-heron --json
"""

from __future__ import annotations

import argparse
import json

from expand3d.cli.flags import add_record_flags
from expand3d.study.damaged import reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d advise`."""
    parser.add_argument("name", metavar="NAME", help="the study")
    add_record_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Print what would help; 0."""
    from expand3d.report.study.advice import advise, headline
    from expand3d.report.study.view import load_view

    with reading(args.name):
        answers = advise(load_view(args.name, root=args.root, storage=args.storage))
    if args.json:
        print(json.dumps([answer.to_json() for answer in answers], indent=2))
        return 0
    print(headline(answers))
    for answer in answers:
        print(f"  {answer.sentence}")
    return 0
