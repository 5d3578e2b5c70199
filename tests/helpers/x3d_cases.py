"""X3D networks as create_x3d's arguments say them, and weights as after training."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from expand3d.core.genotype import Genotype
from expand3d.networks.families.x3d import FAMILY, X3DPlan


class Case(NamedTuple):
    """create_x3d's own arguments, written by hand: base-12 width, depth, bottleneck; the clip."""

    width: float
    depth: float
    bottleneck: float
    frames: int
    crop: int
    classes: int


CASES = {
    "x2d": Case(2.0, 1.0, 1.0, 1, 112, 400),
    "x3d-xs": Case(2.0, 2.2, 2.25, 4, 160, 400),
    "x3d-s": Case(2.0, 2.2, 2.25, 13, 160, 51),
    "x3d-xl, small clip": Case(2.9, 5.0, 2.25, 2, 64, 400),
    "odd depth and bottleneck, crop off the grid": Case(1.77, 2.49, 2.35, 3, 90, 11),
    "narrow": Case(0.8, 1.0, 3.97, 5, 48, 6),
    "wide and shallow": Case(3.6, 0.5, 1.13, 2, 80, 101),
}


def genotype_of(case: Case) -> Genotype:
    return FAMILY.base.replace(
        gamma_t=case.frames,
        gamma_s=case.crop / 112,
        gamma_d=case.depth,
        gamma_w=case.width / 2,
        gamma_b=case.bottleneck,
    )


def plan_of(case: Case, *, res2_shortcut_bn: bool) -> X3DPlan:
    return FAMILY.resolve(
        genotype_of(case), num_classes=case.classes, res2_shortcut_bn=res2_shortcut_bn
    )


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Weights as after training: no BatchNorm at its initial statistics, every layer alive."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.weight.copy_(uniform(module.weight, 0.5, 1.5))
                module.bias.copy_(uniform(module.bias, -0.3, 0.3))
                module.running_mean.copy_(uniform(module.running_mean, -0.3, 0.3))
                module.running_var.copy_(uniform(module.running_var, 0.5, 2.0))
            elif isinstance(module, nn.Conv3d | nn.Linear):
                spread = (3 / module.weight[0].numel()) ** 0.5
                module.weight.copy_(uniform(module.weight, -spread, spread))
                if module.bias is not None:
                    module.bias.copy_(uniform(module.bias, -0.5, 0.5))
    return model.eval()
