"""A tiny network with random weights, as `expand3d export --to json` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from expand3d.core.genotype import Genotype
from expand3d.interop.json_folder import write
from expand3d.interop.network import ExportedNetwork
from expand3d.networks import get_family
from expand3d.networks.families.x3d import FAMILY

#: 0.5 MFLOPs: two frames of 32 x 32 pixels.
TINY = FAMILY.base.replace(gamma_w=1 / 3, gamma_d=0.2, gamma_s=32 / 112, gamma_t=2.0, gamma_tau=3.0)


def exported(
    folder: Path,
    *,
    classes: tuple[str, ...] = ("class0", "class1"),
    genotype: Genotype = TINY,
    weights: bool = True,
    **fields: Any,
) -> Path:
    """The folder, which now holds the network; its weights depend on nothing else."""
    family = get_family(genotype.family)
    plan = family.resolve(genotype, num_classes=max(1, len(classes)))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = family.build(plan)
    for module in network.modules():  # as after a training: nothing is near zero
        if isinstance(module, torch.nn.BatchNorm3d) and module.weight is not None:
            torch.nn.init.ones_(module.weight)
    file = folder.with_suffix(".safetensors")
    save_file(network.state_dict(), file)
    folder.mkdir()
    known = {"target_fps": 30.0, "classes": classes, **fields}
    description = ExportedNetwork("made", 0, genotype, plan, {}, **known)
    if weights:
        description = ExportedNetwork("made", 0, genotype, plan, {}, weights=file, **known)
    write(description, folder)
    return folder
