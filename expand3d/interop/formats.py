"""The codebases that a network can be exported to, by name, and how a folder is written."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from expand3d.core.errors import ExportError, nearest
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
