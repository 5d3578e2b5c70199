"""The action `convert` of `expand3d data`: any data set as class folders, a list, or shards."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from expand3d.core.errors import ConfigError
from expand3d.core.files import make_folder

if TYPE_CHECKING:
    from expand3d.data.manifest import Manifest

FORMS = ("folders", "list", "shards")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to",
        choices=FORMS,
        required=True,
        help="class folders of links, a CSV, or WebDataset shards (a copy)",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="OUT", help="a new folder, or a CSV for `list`"
    )


def refuse_full(out: Path) -> None:
    """ConfigError where a folder to write is there and holds something."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} is there; choose a new folder")


def convert(
    manifest: Manifest, args: argparse.Namespace, progress: Callable[[int, int], None] | None
) -> int:
    """Write the data in another form, with the parts that it gives."""
    from expand3d.data.convert import write_links, write_list, write_shards

    given = [video.split for video in manifest.videos]
    parts = [part or "train" for part in given] if any(given) else given
    out: Path = args.out
    if args.to == "list":
        make_folder(out.absolute().parent)
        write_list(manifest, out, parts)
    else:
        if args.to == "folders":
            write_links(manifest, out, parts)
        else:
            shards = write_shards(manifest, out, parts, progress=progress)
            print(f"{out}: {shards} shards")
    lost = "; links carry no groups" if args.to == "folders" and _has_groups(manifest) else ""
    print(f"{out}: {len(manifest):,} videos of {len(manifest.class_names)} classes{lost}")
    return 0


def _has_groups(manifest: Manifest) -> bool:
    return any(video.group for video in manifest.videos)
