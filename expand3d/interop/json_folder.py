"""Target `json`: network.json and, where they were kept, weights.safetensors under our names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from expand3d.core.errors import ExportError
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.network_file import FORMAT, NETWORK, VERSION, read_network

WEIGHTS = "weights.safetensors"


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
    file, data = read_network(path)
    weights = file.parent / data["weights"] if data["weights"] else None
    if weights and not weights.is_file():
        raise ExportError(f"{file} names its weights {data['weights']!r}, which are not beside it")
    return ExportedNetwork.from_json(data, weights=weights)
