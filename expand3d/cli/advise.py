"""Tell what limits a study: clips, their length, the size of networks, or the training.

One sentence each, from what the record has, with a 95% interval; "cannot tell" where it cannot.

examples:
  expand3d advise quiet-heron
  expand3d advise quiet-heron --train    train the winner on parts of the clips first
  expand3d advise quiet-heron --json

With --train the winner is trained on 25, 50 and 100% of the training clips, with equally many clip
visits, which says whether clips are what it lacks. Ctrl-C stops; the same command goes on.
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
    parser.add_argument(
        "--train", action="store_true", help="train the winner on parts of the clips first"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Print what would help; 0."""
    from expand3d.report.study.advice import advise, headline
    from expand3d.report.study.view import load_view

    if args.train and not _trained(args):
        return 130
    with reading(args.name):
        answers = advise(load_view(args.name, root=args.root, storage=args.storage))
    if args.json:
        print(json.dumps([answer.to_json() for answer in answers], indent=2))
        return 0
    print(headline(answers))
    for answer in answers:
        print(f"  {answer.sentence}")
    return 0


def _trained(args: argparse.Namespace) -> bool:
    """True once the learning curve is in the record; False where it was stopped."""
    from expand3d.cli.live import watch_for
    from expand3d.cli.outcome import SignalStop
    from expand3d.run.learning_curve import learn_curve

    watch = watch_for(json=args.json)
    with SignalStop(watch) as stop:
        try:
            outcome = learn_curve(
                args.name, root=args.root, storage=args.storage, watch=watch, stop=stop
            )
        finally:
            watch.close()
    return outcome.finished
