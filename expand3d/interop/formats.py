"""The codebases that a network can be exported to, by name, and how a folder is written."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from expand3d.core.errors import ExportError
from expand3d.core.plugins import FORMATS
from expand3d.interop.network import ExportedNetwork

Writer = Callable[[ExportedNetwork, Path], None]


def get_writer(target: str) -> Writer:
    """The function that writes `target`; ExportError names the nearest where there is none."""
    writer: Writer = FORMATS.load(target)
    return writer


def export(
    network: ExportedNetwork, *, target: str, out: str | Path, force: bool = False
) -> list[Path]:
    """Write `network` for `target` into the folder `out` and return its files, sorted.

    Nothing is left behind where it fails. ExportError where the target cannot express the plan,
    or where `out` has files already; `force` replaces those of the same name.
    """
    write, out = get_writer(target), Path(out)
    refuse_occupied(out, force=force)
    with tempfile.TemporaryDirectory(prefix="expand3d-export-") as scratch:
        write(network, Path(scratch))
        out.mkdir(parents=True, exist_ok=True)
        return [
            Path(shutil.move(path, out / path.name)) for path in sorted(Path(scratch).iterdir())
        ]


def refuse_occupied(out: Path, *, force: bool) -> None:
    """Raise ExportError where `out` is a file, or a folder that has something in it."""
    if out.exists() and not out.is_dir():
        raise ExportError(f"--out {out} is a file; it must be a folder, new or empty")
    if not force and out.is_dir() and any(out.iterdir()):
        raise ExportError(f"--out {out} is not empty; choose a new folder, or add --force")
