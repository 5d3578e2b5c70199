"""Target `json`: network.json and, where they were kept, weights.safetensors under our names."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path

from expand3d.core.errors import ExportError
from expand3d.interop.card import CARD, card
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.network_file import FORMAT, NETWORK, VERSION, read_network
from expand3d.interop.verify import Verified, difference

#: Who reads the folder.
BY = "expand3d"
WEIGHTS = "weights.safetensors"
#: What takes the network, and what takes its weights too.
TAKES_NETWORK = (
    "expand3d run --budget 4GFLOPs --start ./DIR         # a search that begins at this network"
)
TAKES_WEIGHTS = """expand3d run --budget 4GFLOPs --init ./DIR          # or with its weights
expand3d predict ./DIR videos/
expand3d eval ./DIR --data videos/"""


def write(network: ExportedNetwork, folder: Path) -> None:
    """Write network.json, the card, and a copy of the weights, into `folder`."""
    write_description(network, folder, weights=WEIGHTS if network.weights else None)
    commands = [TAKES_NETWORK, *([TAKES_WEIGHTS] if network.weights else [])]
    use = "\n".join(["```", *commands, "```"])
    (folder / CARD).write_text(card(network, {"In expand3d": use}), encoding="utf-8")
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


def verify(network: ExportedNetwork, folder: Path) -> list[Verified]:
    """The folder as `load_export` reads it: the plan, every tensor, and logits."""
    import torch
    from safetensors.torch import load_file, save_file

    from expand3d.interop.random_weights import randomised
    from expand3d.networks.example import example

    read = load_export(folder)
    if read.plan != network.plan:
        raise ExportError(f"{folder} holds the network {read.plan.digest}, not this one")
    ours, clips = network.build(), example(network.plan, 2)
    found = []
    with torch.no_grad(), tempfile.TemporaryDirectory(prefix="expand3d-json-") as scratch:
        if read.weights is not None:
            found.append(Verified(BY, "exported", difference(read.build()(*clips), ours(*clips))))
        state = randomised(ours.state_dict())
        save_file(state, Path(scratch) / WEIGHTS)
        back = load_file(Path(scratch) / WEIGHTS)
        if wrong := [name for name, value in state.items() if not back[name].equal(value)]:
            raise ExportError(f"other values are read of {', '.join(wrong[:8])}")
        ours.load_state_dict(state)
        again = dataclasses.replace(read, weights=Path(scratch) / WEIGHTS).build()
        found.append(Verified(BY, "randomised", difference(again(*clips), ours(*clips))))
    return found
