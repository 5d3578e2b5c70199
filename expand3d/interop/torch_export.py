"""Target `torch-export`: a program that torch.export.load reads, without expand3d.

It holds torch's own operators and the weights, for any number of clips; the compiled loops of a CPU
are left out of it.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from expand3d.core.errors import ExportError
from expand3d.interop import json_folder
from expand3d.interop.card import CARD, runtime_card
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.onnx import metadata_of
from expand3d.interop.verify import Verified, named, worst

if TYPE_CHECKING:
    from torch import nn

    from expand3d.core.genotype import Plan

MODEL = "model.pt2"
CODE = """
network = torch.export.load("model.pt2").module()
logits = network(*inputs)
"""


def write(network: ExportedNetwork, folder: Path, *, pixels: bool = False) -> None:
    """Write model.pt2 and network.json; ExportError without weights."""
    if network.weights is None:
        raise ExportError(
            f"--to torch-export writes trained networks, and {network.title} has no weights"
        )
    write_program(network.build(), network.plan, folder / MODEL, pixels=pixels)
    json_folder.write_description(network, folder, weights=None)
    reads = metadata_of(network, pixels=pixels)["input_format"]
    text = runtime_card(network, "torch", reads, CODE)
    (folder / CARD).write_text(text, encoding="utf-8")


def write_program(module: nn.Module, plan: Plan, file: Path, *, pixels: bool) -> None:
    """Write a built network as a program for any number of clips."""
    import torch

    from expand3d.interop.runnable import EXAMPLE, Runnable

    whole = Runnable(module.cpu(), plan, pixels=pixels)
    with torch.no_grad():
        program = torch.export.export(
            whole, whole.clips(EXAMPLE), dynamic_shapes=whole.batches, strict=False
        )
    # In memory first: torch's own writer ends the process where the disk is full.
    written = io.BytesIO()
    torch.export.save(program, written)
    file.write_bytes(written.getvalue())


def verify(network: ExportedNetwork, folder: Path) -> list[Verified]:
    """The written program's logits, and those of the same program with random weights."""
    import torch

    from expand3d.interop.random_weights import randomised
    from expand3d.interop.runnable import Runnable

    program = torch.export.load(folder / MODEL)
    (first, *_) = (each for each in program.graph_signature.user_inputs)
    node = next(each for each in program.graph.nodes if each.name == first)
    whole = Runnable(network.build(), network.plan, pixels=node.meta["val"].dtype == torch.uint8)
    written = program.module()
    found = [Verified(named("torch"), "exported", worst(written, whole))]
    state = randomised(whole.state_dict())
    whole.load_state_dict(state)
    written.load_state_dict(state)
    return [*found, Verified(named("torch"), "randomised", worst(written, whole))]
