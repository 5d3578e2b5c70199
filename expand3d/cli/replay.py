"""The paper's expansion, re-enacted by the real strategy beside what the paper published.

Published settings stand in for the solver on the axis that won each step, and published or
stand-in accuracies for the trainings; candidates, choices, the end and the contraction are
computed. Exit status 1 where a computed figure differs from the published one.

examples:
  expand3d replay x3d                     all 12 points, then X3D-S by contraction to 2 GFLOPs
  expand3d replay x3d --budget 10GFLOPs   one run to this budget, under the paper's schedule
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from expand3d.cli.tables import print_table
from expand3d.core.budget import format_macs, parse_macs

if TYPE_CHECKING:
    from expand3d.search.replay import Point, Replay


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d replay`."""
    parser.add_argument("paper", nargs="?", default="x3d", choices=["x3d"])
    parser.add_argument("--budget", metavar="COST", help="one run to this budget, such as 2GFLOPs")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Replay and print; 0, or 1 where a figure differs from the published one."""
    from expand3d.search.replay import CONTRACTED_BUDGET, WHOLE_BUDGET, replay_x3d

    budgets = [WHOLE_BUDGET, CONTRACTED_BUDGET]
    if args.budget:
        budgets = [parse_macs(args.budget)]
    replays = [replay_x3d(budget) for budget in budgets]
    if args.json:
        print(json.dumps([_as_json(replay) for replay in replays], indent=2))
    else:
        for replay in replays:
            _print(replay)
    return 0 if all(replay.agrees for replay in replays) else 1


def _row(point: Point) -> dict[str, Any]:
    from expand3d.search.statistics import label

    published = point.published
    return {
        "step": point.candidate.step,
        "axis": label(point.candidate),
        "clip": point.clip,
        "stride_inferred": bool(published and published.inferred),
        "crop": point.candidate.plan.crop,
        "macs": point.candidate.macs,
        "gmacs": point.gmacs,
        "published_gmacs": published.gmacs if published else None,
        "name": published.preset if published else None,
        "agrees": point.agrees,
        "decision": point.text,
    }


def _as_json(replay: Replay) -> dict[str, Any]:
    return {
        "budget": replay.budget,
        "networks": replay.networks,
        "result": replay.result.to_json(),
        "reason": replay.reason,
        "agrees": replay.agrees,
        "steps": [_row(point) for point in replay.points],
    }


def _print(replay: Replay) -> None:
    columns = ("step", "axis", "clip", "crop", "GMACs", "published", "name", "")
    rows = []
    for row in map(_row, replay.points):
        verdict = "equal" if row["agrees"] else "DIFFERS"
        rows.append(
            (
                str(row["step"]),
                row["axis"],
                row["clip"] + (" ~" if row["stride_inferred"] else ""),
                str(row["crop"]),
                row["gmacs"],
                row["published_gmacs"] or "",
                row["name"] or "",
                verdict if row["published_gmacs"] else "",
            )
        )
    print_table(
        f"X3D to {format_macs(replay.budget)}, computed beside published",
        columns,
        rows,
        numbers=("step", "crop", "GMACs", "published"),
        caption="~ the paper prints no stride for this step; inferred",
    )
    print(replay.summary(), end="\n\n")
