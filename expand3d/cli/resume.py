"""Continue a study that was stopped or killed; what is recorded is not trained again.

examples:
  expand3d resume quiet-heron
  expand3d resume quiet-heron --data /new/place/of/the/videos
  expand3d resume quiet-heron --extend 0.6GFLOPs       a larger budget, finished or not
  expand3d resume quiet-heron --extend 1GFLOPs --plan  what that would train, and how long
  expand3d resume quiet-heron --trials 60              more networks of a sampler
  expand3d resume quiet-heron --retry-failed --candidate-timeout 2h

Where the data lies, the device, the executor and its workers may change; content and recipe may
not. A study that is extended goes on as one that began with the larger budget, and trains only what
its record does not know; a new winner is trained once more. The plan of what is left comes first.
"""

from __future__ import annotations

import argparse

from expand3d.cli.flags import add_config_flags, config_values
from expand3d.study.changes import MAY_CHANGE
from expand3d.study.folder import DEFAULT_ROOT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the study")
    add_config_flags(parser, only={*MAY_CHANGE, "trials", "training_limit"}, defaults=False)
    parser.add_argument("--extend", metavar="BUDGET", help="a larger budget, such as 0.6GFLOPs")
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="train networks again that ran out of time or memory or broke off (not those that "
        "diverged)",
    )
    parser.add_argument("--plan", action="store_true", help="show what is left to do and stop")
    parser.add_argument(
        "--json", action="store_true", help="print the outcome, or the plan, as JSON"
    )


def main(args: argparse.Namespace) -> int:
    from expand3d.cli.live import watch_for
    from expand3d.cli.outcome import SignalStop, print_outcome, print_plan
    from expand3d.run.driver import plan_resumed, resume_study

    study = args.name
    args.name = None
    changes = config_values(args) | ({"budget": args.extend} if args.extend else {})
    where = {"root": changes.pop("root", DEFAULT_ROOT), "storage": changes.pop("storage", None)}
    watch = watch_for(json=args.json)
    with SignalStop(watch) as stop:
        try:
            if args.plan:
                plan = plan_resumed(
                    study,
                    **where,
                    changes=changes,
                    watch=watch,
                    retry_failed=args.retry_failed,
                )
                return print_plan(plan, as_json=args.json)
            outcome = resume_study(
                study,
                **where,
                changes=changes,
                watch=watch,
                stop=stop,
                retry_failed=args.retry_failed,
            )
        finally:
            watch.close()
    print_outcome(outcome, as_json=args.json)
    return 0 if outcome.finished else 130
