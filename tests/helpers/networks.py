"""Small networks whose weights are as after a training, and exports of them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from expand3d.core.genotype import Genotype
from expand3d.core.recipe import get_profile
from expand3d.interop.network import ExportedNetwork
from expand3d.networks import get_family
from expand3d.networks.families.x3d import FAMILY, X3DPlan
from expand3d.networks.family import Limits

SMALL = FAMILY.base.replace(gamma_t=2, gamma_tau=7, gamma_s=48 / 112, gamma_w=0.5, gamma_b=1.7)


#: One block a stage: exporters take their time by the block.
SHALLOW = SMALL.replace(gamma_d=0.2)


def randomised(plan: X3DPlan, *, seed: int = 0) -> nn.Module:
    """A network in eval mode with no BatchNorm at its initial statistics."""
    torch.manual_seed(seed)
    network = FAMILY.build(plan)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm3d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.3, 0.3)
                nn.init.uniform_(module.running_mean, -0.3, 0.3)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def logits(network: nn.Module, plan: X3DPlan) -> Tensor:
    """Of two clips of coarse noise."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn((2, 3, plan.frames, 4, 4), generator=generator)
    with torch.no_grad():
        return network(nn.functional.interpolate(coarse, size=(plan.frames, plan.crop, plan.crop)))


def grown(family_name: str) -> Genotype:
    """The base after one step of every axis that can grow."""
    family = get_family(family_name)
    genotype = family.base
    limits = Limits(crop=160, duration=128)
    for axis in family.axes:
        genotype = next(iter(family.grow(axis, genotype, limits)), genotype)
    assert genotype != family.base
    return genotype


def exported(folder: Path, genotype: Genotype = SMALL, *, trained: bool = True) -> ExportedNetwork:
    """An export of `genotype` for six classes; its weights lie in `folder`."""
    plan = FAMILY.resolve(genotype, num_classes=6)
    weights = folder / "winner.safetensors"
    if trained:
        save_file(randomised(plan).state_dict(), weights)
    return ExportedNetwork(
        study="quiet-heron",
        trial=7,
        genotype=genotype,
        plan=plan,
        recipe=get_profile("final", {"dropout": 0.5}).to_json(),
        target_fps=30.0,
        classes=("a", "b", "c", "d", 'it\'s "e"', "f"),
        scores={"final": {"top1": 0.5, "clips": 40}},
        provenance={"data": "9f3c2a7710d4e8b1", "versions": {"torch": "2.13.0"}},
        weights=weights if trained else None,
    )


def everywhere(folder: Path, *, trained: bool = True) -> ExportedNetwork:
    """Widths 16, 32, 64, 128, which every target that builds networks of its own can spell."""
    return exported(folder, SHALLOW.replace(gamma_w=2 / 3), trained=trained)
