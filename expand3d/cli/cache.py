"""Show the cache of decoded clips, prune it by age and size, or empty it.

examples:
  expand3d cache                            how much there is, how old, and what is in use
  expand3d cache --older-than 30d           what was not used for 30 days
  expand3d cache --keep-under 20GiB --force    remove the oldest above 20 GiB
  expand3d cache --empty --force            remove all that nobody uses

It holds decoded clips, optical flow and the bundled videos, all of which is made again when it is
needed. What a running process uses is never removed. Without --force nothing is.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import ConfigError
from expand3d.core.units import in_bytes, parse_duration, parse_size

if TYPE_CHECKING:
    from expand3d.data.housekeeping import Entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--older-than", metavar="TIME", help="what was not used for that long, such as 30d"
    )
    parser.add_argument(
        "--keep-under", metavar="SIZE", help="the oldest, until no more than that is left"
    )
    parser.add_argument("--empty", action="store_true", help="everything")
    parser.add_argument("--force", action="store_true", help="remove it; else it is only shown")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Print what is there, and what goes or would go; 0."""
    from expand3d.data.housekeeping import chosen, entries, prune
    from expand3d.data.source import cache_root

    limits = _limits(args)
    root = cache_root()
    before = entries(root)
    gone: Sequence[Entry] = ()
    if limits is not None:
        gone = prune(root, **limits) if args.force else chosen(before, now=time.time(), **limits)
    if args.json:
        print(json.dumps(_as_json(str(root), before, gone, done=args.force), indent=2))
    else:
        _show(str(root), before)
        if limits is not None:
            print(_sentence(gone, done=args.force))
    return 0


def _limits(args: argparse.Namespace) -> Mapping[str, Any] | None:
    """The limits of what goes; None where nothing does."""
    older = parse_duration(args.older_than) if args.older_than is not None else None
    under = parse_size(args.keep_under) if args.keep_under is not None else None
    limited = older is not None or under is not None
    if args.empty and limited:
        raise ConfigError("--empty removes everything; leave --older-than and --keep-under out")
    if args.force and not (args.empty or limited):
        raise ConfigError("--force removes nothing by itself; say what goes, such as --empty")
    return {"older_than": older, "keep_under": under} if args.empty or limited else None


def _show(root: str, found: Sequence[Entry]) -> None:
    from expand3d.cli.tables import print_table
    from expand3d.data.housekeeping import by_kind

    total = in_bytes(sum(entry.bytes for entry in found))
    if not found:
        print(f"{root}: the cache is empty")
        return
    rows = []
    for kind, (count, size) in by_kind(found).items():
        some = [entry for entry in found if entry.kind == kind]
        busy = sum(entry.in_use for entry in some)
        rows.append(
            (kind, f"{count:,}", in_bytes(size), _ago(some[0]), _ago(some[-1]), f"{busy:,}")
        )
    print_table(
        f"{root}: {total}",
        ("kind", "entries", "size", "oldest use", "latest use", "in use now"),
        rows,
        numbers=("entries", "size", "oldest use", "latest use", "in use now"),
    )


def _ago(entry: Entry) -> str:
    days = (time.time() - entry.used) / 86400
    return f"{days:.0f} days ago" if days >= 2 else f"{max(0.0, 24 * days):.0f} h ago"


def _sentence(gone: Sequence[Entry], *, done: bool) -> str:
    size = in_bytes(sum(entry.bytes for entry in gone))
    entries = "1 entry" if len(gone) == 1 else f"{len(gone):,} entries"
    if not gone:
        return "nothing to remove"
    if done:
        return f"removed {entries}, {size}"
    return f"{entries}, {size}, would be removed; add --force"


def _as_json(
    root: str, found: Sequence[Entry], gone: Sequence[Entry], *, done: bool
) -> dict[str, Any]:
    """The cache as it was found, and what was removed of it or would be."""
    from expand3d.data.housekeeping import by_kind

    def numbers(some: Sequence[Entry]) -> dict[str, Any]:
        return {
            "entries": len(some),
            "bytes": sum(entry.bytes for entry in some),
            "kinds": {
                kind: {"entries": count, "bytes": size}
                for kind, (count, size) in by_kind(some).items()
            },
        }

    return {
        "root": root,
        **numbers(found),
        "in_use": numbers([entry for entry in found if entry.in_use]),
        "oldest_use": min((entry.used for entry in found), default=None),
        "chosen": numbers(gone),
        "removed": done,
    }
