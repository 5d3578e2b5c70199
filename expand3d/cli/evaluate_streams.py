"""The part of `expand3d eval` that is about networks of several streams, or of segments."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from expand3d.cli.sections import given_keys, section_of
from expand3d.core.errors import ConfigError

if TYPE_CHECKING:
    from expand3d.run.evaluate_streams import EvaluatedStreams

#: What a row is called.
NAMES = {"all": "all streams", "svm": "linear SVM on the streams"}


def streams_main(args: argparse.Namespace, *, keys: Collection[str], watch: Any) -> int:
    """Score each stream and all together, and print them; 0, or 130 where it was stopped.

    `keys` are those of a study that may be given; `watch` is told how far it is.
    """
    from expand3d.cli.outcome import SignalStop
    from expand3d.core.files import make_folder, write_whole
    from expand3d.core.result import Interrupted
    from expand3d.run.evaluate_streams import Wanted, evaluate_streams
    from expand3d.study.folder import DEFAULT_ROOT
    from expand3d.study.sections import Execution

    part = args.part or "test"
    if part not in ("folds", "test"):
        raise ConfigError(f"--part {part}: networks of streams are scored by test or by folds")
    wanted = Wanted(
        args.network,
        section_of(Execution, given_keys(args, keys)),
        args.root or DEFAULT_ROOT,
        args.storage,
        part=part,
        clips=args.clips,
        crops=args.crops,
        segments=args.segments,
        svm=args.svm,
    )
    with SignalStop(watch) as stop:
        try:
            found = evaluate_streams(wanted, watch=watch, stop=stop, tell=watch.scored)
        except Interrupted as stopped:
            watch.note(str(stopped))
            return 130
    data = found.to_json()
    if args.out is not None:
        make_folder(args.out)
        write_whole(args.out / "evaluation.json", json.dumps(data, indent=2) + "\n")
        write_whole(args.out / "clips.csv", clips_csv(found))
    if args.json:
        print(json.dumps(data, indent=2))
    else:
        _say(found)
    return 0


def clips_csv(found: EvaluatedStreams) -> str:
    """A row per clip: its group, its class, and the class that each stream gave it, as numbers."""
    head = ["clip", "group", "class", *found.predicted]
    columns = [found.keys, [g or "" for g in found.groups], found.labels, *found.predicted.values()]
    rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    return "\n".join([",".join(head), *rows]) + "\n"


def _say(found: EvaluatedStreams) -> None:
    from expand3d.cli.tables import print_table
    from expand3d.cli.words import duration

    data = found.to_json()
    networks = "one network" if found.networks == 1 else f"{found.networks} networks, one a fold"
    segments = data["segments"]
    parts = f" of {segments} segments" if segments > 1 else ""
    print(
        f"{found.title}: {data['clips']} clips by {networks}; {found.views} views{parts} of "
        f"{found.macs / 1e9:.3f} GMACs, {data['macs_all_views'] / 1e9:.3f} a clip"
    )
    shown = [
        (
            NAMES.get(row.name, row.name),
            f"{row.top1:.1%}",
            _between(row.interval, sign=""),
            f"{row.lead * 100:+.1f}" if row.name != "all" else "",
            _between(row.lead_interval, sign="+") if row.name != "all" else "",
        )
        for row in found.rows
    ]
    print_table(
        f"top-1 (chance {data['chance']:.1%})",
        ("stream", "top-1", "95%", "lead of all, points", "95% of the lead"),
        shown,
        numbers=("top-1", "95%", "lead of all, points", "95% of the lead"),
    )
    drawn = "over groups of clips" if data["groups"] else "over clips"
    print(f"intervals: bootstrap {drawn}, of these trainings; {duration(found.seconds)}")


def _between(interval: tuple[float, float] | None, *, sign: str) -> str:
    if interval is None:
        return "too few groups"
    low, high = (bound * 100 for bound in interval)
    unit = "%" if not sign else ""
    return f"{low:{sign}.0f}{unit} to {high:{sign}.0f}{unit}"
