"""Run strategies against a table of trained networks, many times over, in place of trainings.

examples:
  expand3d compare --table table/ --strategies expand random tpe --seeds 20 --out contest
  expand3d compare --table table/ --strategies expand expand@250 expand@500
  expand3d compare --table table/ --strategies race race@250 random random-race@250

`race` trains the candidates of a step rung by rung and drops those that are surely worse;
`race-seeds` gives close ones up to two further seeds in the end, where the table has them.
`random-race` trains eight networks at a time, of which the better half goes on at each rung, by
cost and score. Any other name with @VISITS trains every network to that rung alone. Samplers choose
among the table's networks. Each repetition draws one seed per network and the groups of validation
clips again; what was found is judged on the test clips, by the mean over seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

from expand3d.cli.flags import add_force_flag
from expand3d.cli.parser import number, whole
from expand3d.core.files import refuse_occupied, refuse_unwritable

if TYPE_CHECKING:
    from expand3d.report.tabular.contest import Contest

#: Repetitions of a strategy that takes seconds for each proposal, at most.
OF_SLOW = {"gp": 5}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--table", required=True, metavar="DIR", help="folder that expand3d tabulate --from wrote"
    )
    parser.add_argument(
        "--strategies",
        nargs="+",
        required=True,
        metavar="NAME",
        help="expand, race, race-seeds, tpe, nsga2, nsga3, gp, qmc or random, a sampler by choice "
        "with -race, each by choice with @VISITS",
    )
    parser.add_argument(
        "--seeds", type=whole(1), default=20, metavar="N", help="repetitions (default: 20; gp 5)"
    )
    parser.add_argument(
        "--limit",
        type=number(0),
        metavar="TMACS",
        help="tera multiply-adds of trainings and scoring of each; what the expansion spends with "
        "whole trainings if left out",
    )
    parser.add_argument("--out", metavar="DIR", help="folder for CSV and picture, new or empty")
    add_force_flag(parser)
    parser.add_argument("--json", action="store_true", help="print the curves as JSON")


def main(args: argparse.Namespace) -> int:
    from expand3d.report.tabular.contest import contest_rows, hold, write_contest
    from expand3d.search.tabular.contest import Entrant
    from expand3d.search.tabular.table import read_table

    if args.out is not None:
        refuse_occupied(args.out, force=args.force)
        refuse_unwritable(args.out)
    table = read_table(args.table)
    entrants = [Entrant.named(name, table) for name in dict.fromkeys(args.strategies)]
    seeds = {e.name: min(args.seeds, OF_SLOW.get(e.sampler, args.seeds)) for e in entrants}
    began = time.monotonic()
    limit = None if args.limit is None else args.limit * 1e12
    contest = hold(table, entrants, seeds=seeds, limit=limit)
    if args.json:
        print(json.dumps(contest_rows(contest), indent=1))
    else:
        _show(contest, time.monotonic() - began)
    if args.out is not None:
        for path in write_contest(contest, args.out):
            if not args.json:
                print(path)
    return 0


def _show(contest: Contest, seconds: float) -> None:
    from expand3d.cli.tables import print_table

    rows = []
    for each in contest.standings:
        area, best = each.hypervolume[-1], each.best[max(each.best)][-1]
        wide = (area.high - area.low) / 2, (best.high - best.low) / 2
        rows.append(
            (
                each.name,
                str(contest.seeds[each.name]),
                f"{each.trained:.1f}",
                f"{area.mean:.3f} ± {wide[0]:.3f}",
                f"{best.mean:.1%} ± {wide[1]:.1%}",
                str(each.short) if each.short else "",
            )
        )
    print_table(
        f"{contest.networks} networks, {contest.limit / 1e12:.3g} TMACs each, {seconds:.0f} s",
        ("strategy", "seeds", "trained", "hypervolume", "top-1 (test)", "ended short"),
        rows,
        numbers=("seeds", "trained", "hypervolume", "top-1 (test)", "ended short"),
        caption="ended short: repetitions that asked for a network which the table lacks",
    )
    print_table(
        "agreement with whole trainings: Kendall's tau within cost bins",
        ("score", "tau", "networks"),
        [(a.score, f"{a.tau:.2f}", str(a.networks)) for a in contest.agreements],
        numbers=("tau", "networks"),
    )
