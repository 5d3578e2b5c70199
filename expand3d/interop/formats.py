"""The codebases that a network can be exported to, by name, and how a folder is written."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from expand3d.core.errors import ExportError, FileError, nearest
from expand3d.core.files import make_folder
from expand3d.interop.network import ExportedNetwork

#: name -> (module:function that writes into an empty folder, one line of help)
TARGETS = {
    "json": (
        "expand3d.interop.json_folder:write",
        "genotype, plan, recipe, scores and provenance; weights under our own names",
    ),
    "pytorchvideo": (
        "expand3d.interop.pytorchvideo.folder:write",
        "a module that calls create_x3d, weights under its names, and a check",
    ),
}

Writer = Callable[[ExportedNetwork, Path], None]


def get_writer(target: str) -> Writer:
    """The function that writes `target`; ExportError names the nearest where there is none."""
    if target not in TARGETS:
        raise ExportError(f"unknown export target {target!r}{nearest(target, TARGETS)}")
    module, function = TARGETS[target][0].split(":")
    writer: Writer = getattr(importlib.import_module(module), function)
    return writer


def export(
    network: ExportedNetwork, *, target: str, out: str | Path, force: bool = False
) -> list[Path]:
    """Write `network` for `target` into the folder `out` and return its files, sorted.

    Nothing is left behind where it fails, and a file that is replaced is so as a whole.
    ExportError where the target cannot express the plan, or where `out` has files already;
    `force` replaces those of the same name. FileError where `out` cannot be written.
    """
    write, out = get_writer(target), Path(out)
    refuse_occupied(out, force=force)
    # On the disk of `out`, where a file takes its name by a rename and not by a copy.
    there = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    try:
        with tempfile.TemporaryDirectory(prefix=".expand3d-export-", dir=there) as scratch:
            write(network, Path(scratch))
            make_folder(out)
            return [path.replace(out / path.name) for path in sorted(Path(scratch).iterdir())]
    except OSError as error:
        raise FileError(f"{out} cannot be written: {error}") from None


def refuse_occupied(out: Path, *, force: bool) -> None:
    """Raise ExportError where `out` is a file, or a folder that has something in it."""
    if out.exists() and not out.is_dir():
        raise ExportError(f"--out {out} is a file; it must be a folder, new or empty")
    if not force and out.is_dir() and any(out.iterdir()):
        raise ExportError(f"--out {out} is not empty; choose a new folder, or add --force")
