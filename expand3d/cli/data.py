"""Check, show, split and convert labelled videos.

PATH (or --data PATH) is a folder of class folders, a list of `path label` lines, a CSV with a
header (path, label or label_name, optionally split and group), a known data set as it is handed out
(ucf101:PATH?split=2), or "bundled".

examples:
  expand3d data check videos/
  expand3d data show videos/ --out sheet.png
  expand3d data split all.csv --out split.csv --seed 1
  expand3d data convert 'ucf101:UCF?split=2' --to shards --out shards/
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.cli import data_convert
from expand3d.cli.flags import add_force_flag
from expand3d.cli.parser import number, whole
from expand3d.core.errors import ConfigError, DataError
from expand3d.core.files import make_folder, refuse_present, refuse_unwritable

if TYPE_CHECKING:
    from expand3d.data.check import CheckReport
    from expand3d.data.manifest import Manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser(
        "check",
        help="decode every video; list those that cannot be used",
        description="Decode every video to its end; list those that cannot be used, and why. "
        "Exits 1 where there are any.",
    )
    _add_source(check)
    check.add_argument(
        "--fps",
        type=number(0),
        metavar="N",
        default=30.0,
        help="frame rate of the lengths shown (above 0; default: 30)",
    )
    check.add_argument(
        "--workers",
        type=whole(1),
        metavar="N",
        help="files decoded at once (at least 1; default: all cores)",
    )
    check.add_argument(
        "--no-near",
        action="store_true",
        help="do not look for nearly the same videos (re-encoded, scaled, cropped, shifted)",
    )
    check.add_argument("--json", action="store_true", help="print JSON")
    show = actions.add_parser(
        "show",
        help="a contact sheet: frames of a few clips of each class",
        description="Write a contact sheet: a row per class, each clip as a strip of frames.",
    )
    _add_source(show)
    show.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    add_force_flag(show)
    show.add_argument(
        "--classes", type=whole(1), default=12, metavar="N", help="rows (default: 12)"
    )
    show.add_argument(
        "--clips", type=whole(1), default=2, metavar="N", help="per class (default: 2)"
    )
    show.add_argument(
        "--frames", type=whole(1), default=6, metavar="N", help="per clip (default: 6)"
    )
    split = actions.add_parser(
        "split",
        help="write a CSV with a training, a validation and a test part",
        description="Write a CSV with a split column: what the data gives, drawn where it gives "
        "none. Classes stay in proportion and groups whole.",
    )
    _add_source(split)
    split.add_argument("--out", type=Path, required=True, metavar="FILE.csv")
    add_force_flag(split)
    split.add_argument(
        "--seed", type=whole(0), metavar="N", default=0, help="of the draw (default: 0)"
    )
    split.add_argument(
        "--val",
        type=float,
        metavar="SHARE",
        default=0.2,
        help="share of clips from 0, below 1 (default: 0.2)",
    )
    split.add_argument(
        "--test",
        type=float,
        metavar="SHARE",
        default=0.2,
        help="share of clips from 0, below 1 (default: 0.2)",
    )
    split.add_argument(
        "--group-by-name",
        action="store_true",
        help="groups are what the names carry (v_Archery_g01_c02, person01_boxing_d1)",
    )
    split.add_argument(
        "--group-near",
        action="store_true",
        help="keep nearly the same videos (re-encoded, scaled, cropped, shifted) on one side",
    )
    split.add_argument("--test-groups", nargs="+", default=(), metavar="GROUP")
    split.add_argument("--val-groups", nargs="+", default=(), metavar="GROUP")

    other = actions.add_parser(
        "convert",
        help="write the data as class folders of links, a CSV, or shards",
        description="Write the data in another form, with the parts that it gives; nothing is "
        "decoded.",
    )
    _add_source(other)
    data_convert.add_arguments(other)
    add_force_flag(other)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", nargs="?", metavar="PATH", help="folder, list or CSV of labelled videos"
    )
    parser.add_argument("--data", metavar="PATH", help="the same as a flag")
    parser.add_argument(
        "--val-data", metavar="PATH", help="list of the validation part, beside a list of training"
    )
    parser.add_argument(
        "--prefix", metavar="DIR", type=Path, help="folder that a list's paths are relative to"
    )


def main(args: argparse.Namespace) -> int:
    """Exit status: 0, or 1 where `check` found videos that cannot be used."""
    from expand3d.data.manifest import load_manifest
    from expand3d.data.source import place_of, resolve_source

    if args.action == "convert" and args.to != "list":
        data_convert.refuse_full(args.out)
    elif args.action != "check":
        refuse_present(args.out, force=args.force)
    if args.action != "check":
        refuse_unwritable(args.out.absolute().parent)
    source = resolve_source(_named(args), say=lambda line: print(line, file=sys.stderr))
    manifest = load_manifest(source, prefix=args.prefix, val=args.val_data)
    if manifest.said:
        print(f"{place_of(_named(args))}: {manifest.said}", file=sys.stderr)
    if args.action == "convert":
        with _progress("packing") as progress:
            return data_convert.convert(manifest, args, progress)
    return {"check": _check, "show": _show, "split": _split}[args.action](manifest, args)


def _named(args: argparse.Namespace) -> str:
    """The data that PATH or --data names."""
    given = {path for path in (args.path, args.data) if path is not None}
    if not given:
        raise ConfigError(f"which data? for example: expand3d data {args.action} videos/")
    if len(given) > 1:
        raise ConfigError(f"PATH {args.path!r} and --data {args.data!r} differ; leave one out")
    return str(given.pop())


def _check(manifest: Manifest, args: argparse.Namespace) -> int:
    from expand3d.data.check import check
    from expand3d.data.near import MOST_COMPARED

    near = not args.no_near and len(manifest) <= MOST_COMPARED
    if not near and not args.no_near:
        print(
            f"{len(manifest):,} videos are not compared by their pictures (at most "
            f"{MOST_COMPARED:,}); only the same bytes are found",
            file=sys.stderr,
        )
    with _progress("checking") as progress:
        report = check(
            manifest,
            fps=args.fps,
            near=near,
            workers=args.workers,
            progress=progress,
        )
    if args.json:
        print(json.dumps(_as_json(manifest, report), indent=2))
    else:
        _print_report(manifest, report)
    return 0 if report.ok else 1


def _as_json(manifest: Manifest, report: CheckReport) -> dict[str, Any]:
    from expand3d.data.mirrored import exchanged
    from expand3d.data.same import torn_groups

    splits = Counter[str](v.split for v in manifest.videos if v.split is not None)
    usable = Counter[str](v.split for v in manifest.videos if v.split and v.key in report.infos)
    published = manifest.published
    return {
        "source": manifest.source,
        "videos": len(manifest),
        "usable": len(report.infos),
        "left_out": manifest.left_out,
        "bad": [one._asdict() for one in report.bad],
        "remarks": dict(report.remarks),
        "same": [{"keys": list(same.keys), "fault": same.fault} for same in report.same],
        "near": [
            {"keys": list(near.keys), "fault": near.fault, "scene": near.scene}
            for near in report.near
        ],
        "torn_groups": torn_groups(manifest),
        "classes": dict(report.classes),
        "groups": len({video.group for video in manifest.videos} - {None}),
        "splits": dict(splits),
        "layout": manifest.said,
        "published": published.compared(len(manifest.class_names), len(report.infos), usable)
        if published
        else "",
        "exchanged_by_a_mirror": list(exchanged(manifest.class_names)),
        "fps": report.fps,
        "median_frames": report.frames,
        "median_short_side": report.short_side,
        "codecs": dict(Counter(info.codec for info in report.infos.values())),
    }


def _print_report(manifest: Manifest, report: CheckReport) -> None:
    from expand3d.data.layouts.folders import printable
    from expand3d.data.mirrored import mirror_note
    from expand3d.data.same import group_note

    facts = _as_json(manifest, report)
    print(f"{manifest.source}: {facts['videos']} videos, {facts['usable']} of them usable")
    if manifest.left_out:
        print(f"  {manifest.left_out}")
    if report.frames is not None and report.short_side is not None:
        print(
            f"  median length {report.frames:g} frames at {report.fps:g} frames/s, "
            f"median short side {report.short_side:g} pixels"
        )
    print("  codecs: " + ", ".join(f"{name} {n}" for name, n in facts["codecs"].items()))
    if facts["groups"]:
        print(f"  {facts['groups']} groups, kept whole when the data is split")
    given = ", ".join(f"{name} {n}" for name, n in facts["splits"].items())
    print(f"  split given by the data: {given or 'none; it is drawn (see data split)'}")
    print(f"  {len(report.classes)} classes:")
    widest = max(map(len, report.classes))
    for name, videos in report.classes.items():
        print(f"    {name:<{widest}}  {videos:>5}" + ("" if videos else "  no usable video"))
    if manifest.published:
        print(f"  published: {facts['published']}")
    for note in filter(None, (group_note(manifest), mirror_note(manifest.class_names))):
        print(f"  {note}")
    if report.same:
        print(f"films that stand more than once (the same bytes): {len(report.same)}")
        for same in sorted(report.same, key=lambda same: not same.fault):
            print(f"  {same.text}")
    _print_near(report)
    if torn := facts["torn_groups"]:
        print(f"groups that stand in several parts: {len(torn)}")
        for group, parts in torn.items():
            print(f"  {printable(group)}: {' and '.join(parts)}")
    if report.remarks:
        print(f"{len(report.remarks)} videos are used with a remark:")
        for key, remark in report.remarks.items():
            print(f"  {printable(key)}: {remark}")
    if report.bad:
        print(f"{len(report.bad)} videos cannot be used:")
        for key, reason in report.bad:
            print(f"  {printable(key)}: {reason}")


def _print_near(report: CheckReport) -> None:
    """Pairs of nearly the same film, what is wrong first, and those of one scene apart."""
    pairs = sorted(
        (near for near in report.near if not near.scene), key=lambda near: not near.fault
    )
    if pairs:
        print(f"nearly the same film (re-encoded, scaled, cropped or shifted): {len(pairs)} pairs")
    for near in pairs:
        print(f"  {near.text}")
    if any(near.fault for near in report.near) or pairs:
        print("  `data split PATH --group-near --out LIST.csv` keeps each on one side")
    if scenes := [near for near in report.near if near.scene]:
        print(f"nearly the same film, of the same scene (group): {len(scenes)} pairs")
    for near in scenes:
        print(f"  {near.text}")


def _show(manifest: Manifest, args: argparse.Namespace) -> int:
    from expand3d.data.show import contact_sheet

    counts = {"classes": args.classes, "clips": args.clips, "frames": args.frames}
    print(contact_sheet(manifest, args.out, **counts))
    if manifest.left_out:
        print(f"  {manifest.left_out}")
    return 0


def _split(manifest: Manifest, args: argparse.Namespace) -> int:
    from expand3d.data.convert import refuse_odd_names, write_list
    from expand3d.data.same import grouped_by_name
    from expand3d.data.splits import make_splits

    if args.group_by_name:
        manifest = grouped_by_name(manifest)
    if args.group_near:
        manifest = _grouped_near(manifest)
    refuse_odd_names(manifest)
    splits = make_splits(
        manifest,
        seed=args.seed,
        val=args.val,
        test=args.test,
        val_groups=args.val_groups,
        test_groups=args.test_groups,
    )
    parts = splits.part_of()
    make_folder(args.out.absolute().parent)
    write_list(manifest, args.out, [parts[index] for index in range(len(manifest))])
    held = f"{len(splits.train)} train, {len(splits.val)} validation, {len(splits.test)} test"
    print(f"{args.out}: {held}")
    for note in (*splits.notes, *filter(None, [manifest.left_out])):
        print(f"  {note}")
    return 0


def _grouped_near(manifest: Manifest) -> Manifest:
    """The manifest whose groups hold near copies together.

    Where its parts tear some apart, it gives none any more: all are drawn.
    """
    from dataclasses import replace

    from expand3d.data.check import attempt
    from expand3d.data.near import near_copies, thumbnails
    from expand3d.data.same import grouped_by_pairs

    with _progress("comparing") as progress:
        thumbs, bad = attempt(manifest.videos, lambda v: thumbnails(v.path), progress=progress)
    if bad:
        raise DataError(f"{bad[0].key}: {bad[0].reason}")
    found = near_copies([thumbs[video] for video in manifest.videos])
    pairs = [(near.first, near.second) for near in found]
    videos = manifest.videos
    if any(videos[a].split != videos[b].split for a, b in pairs):
        manifest = replace(manifest, videos=tuple(replace(v, split=None) for v in videos))
    return grouped_by_pairs(manifest, pairs)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar with the time left on a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
