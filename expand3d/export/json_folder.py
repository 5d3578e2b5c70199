"""Target `json`: network.json and, where they were kept, weights.safetensors under our names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from expand3d.errors import ExportError
from expand3d.export.network import ExportedNetwork

FORMAT = "expand3d network"
VERSION = 1
NETWORK, WEIGHTS = "network.json", "weights.safetensors"


def write(network: ExportedNetwork, folder: Path) -> None:
    """Write network.json, and a copy of the weights, into `folder`."""
    write_description(network, folder, weights=WEIGHTS if network.weights else None)
    if network.weights:
        shutil.copyfile(network.weights, folder / WEIGHTS)


def write_description(network: ExportedNetwork, folder: Path, *, weights: str | None) -> None:
    """Write network.json alone; `weights` names the file beside it that `load_export` reads."""
    data = {"format": FORMAT, "version": VERSION, **network.to_json(), "weights": weights}
    (folder / NETWORK).write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def load_export(path: str | Path) -> ExportedNetwork:
    """The network that `expand3d export --to json` wrote: its folder, or its network.json.

    Raises ExportError naming the file where it is missing, not such a file, or of a later version.
    """
    path = Path(path)
    file = path / NETWORK if path.is_dir() else path
    data = _read(file)
    weights = file.parent / data["weights"] if data["weights"] else None
    if weights and not weights.is_file():
        raise ExportError(f"{file} names its weights {data['weights']!r}, which are not beside it")
    return ExportedNetwork.from_json(data, weights=weights)


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExportError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise ExportError(f"{file} is not JSON: {error}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ExportError(f"{file} is not a network that `expand3d export --to json` wrote")
    if data["version"] > VERSION:
        raise ExportError(
            f"{file} has version {data['version']}; this expand3d reads up to {VERSION}"
        )
    return data
