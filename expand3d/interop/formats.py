"""The codebases that a network can be exported to, by name, and how a folder is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from expand3d.core import files
from expand3d.core.errors import ExportError, FileError
from expand3d.core.plugins import FORMATS
from expand3d.interop.nearest import fitted
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.verify import needed

#: Writes a network into a folder; further keywords are the options that its row names.
Writer = Callable[..., None]


def get_writer(target: str) -> Writer:
    """The function that writes `target`; ExportError names the nearest where there is none."""
    writer: Writer = FORMATS.load(target)
    return writer


def export(
    network: ExportedNetwork,
    *,
    target: str,
    out: str | Path,
    force: bool = False,
    nearest: bool = False,
    options: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write `network` for `target` into the folder `out` and return its files, sorted.

    `options` are what the target's row names; ExportError for others.

    Nothing is left behind where it fails, and a file that is replaced is so as a whole.
    ExportError where the target cannot express the plan, or where `out` has files already;
    `force` replaces those of the same name, `nearest` takes the nearest network that can be
    expressed. FileError where `out` cannot be written.
    """
    write, out, options = get_writer(target), Path(out), options or {}
    known = FORMATS.row(target).options
    if strange := [name for name in options if name not in known]:
        raise ExportError(
            f"--to {target} has no {strange[0]!r}; its options are: {', '.join(known) or 'none'}"
        )
    needed(target)
    refuse_occupied(out, force=force)
    network = fitted(network, target, nearest=nearest)
    with files.filled(out) as scratch:
        write(network, scratch, **options)
        names = sorted(path.name for path in scratch.iterdir())
    return [out / name for name in names]


def refuse_occupied(out: Path, *, force: bool) -> None:
    """Raise ExportError where `out` is a file, or a folder that has something in it."""
    try:
        files.refuse_occupied(out, force=force)
    except FileError as error:
        raise ExportError(str(error)) from None
