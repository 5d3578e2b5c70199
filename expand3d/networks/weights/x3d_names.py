"""X3D's weights under pytorchvideo's names, and back: the key table, and the one BatchNorm apart.

pytorchvideo puts no BatchNorm on the first shortcut of a stage whose width equals the width
before it (res2). Ours, like the paper's, has one there. In eval mode a BatchNorm is a scale and a
shift, so it folds exactly into the shortcut's convolution and the bias of the BatchNorm that is
added to it; on the way back it becomes an identity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from expand3d.networks.families.x3d_plan import X3DPlan
from expand3d.networks.weights.convert import BN_EPS, identity_norm
from expand3d.networks.weights.x3d_sources import BLOCK, ENDS

State = Mapping[str, Tensor]


def module_names(plan: X3DPlan) -> dict[str, str]:
    """Our module names -> pytorchvideo's, for every module that either network may have."""
    names = dict(ENDS)
    for stage, depth in enumerate(plan.depths):
        for block in range(depth):
            ours, theirs = f"res{stage + 2}.{block}", f"blocks.{stage + 1}.res_blocks.{block}"
            names.update({f"{ours}.{a}": f"{theirs}.{b}" for a, b in BLOCK.items()})
    return names


def to_pytorchvideo(state: State, plan: X3DPlan) -> dict[str, Tensor]:
    """Our state dict as pytorchvideo's `create_x3d` loads it, shortcut BatchNorms folded in."""
    folded = dict(state)
    for block in _without_peer(plan):
        _fold_shortcut(folded, block)
    return _renamed(folded, module_names(plan))


def from_pytorchvideo(state: State, plan: X3DPlan) -> dict[str, Tensor]:
    """pytorchvideo's state dict as ours loads it, with identities for the BatchNorms it lacks."""
    back = {theirs: ours for ours, theirs in module_names(plan).items()}
    renamed = _renamed(state, back)
    for block in _without_peer(plan):
        like = renamed[f"{block}.project_bn.weight"]
        renamed |= identity_norm(f"{block}.shortcut_bn", like)
    return renamed


def _without_peer(plan: X3DPlan) -> Iterator[str]:
    """Our blocks that have a BatchNorm on the shortcut where pytorchvideo has none."""
    before = (plan.stem, *plan.widths)
    for stage, width in enumerate(plan.widths):
        if width == before[stage] and (stage > 0 or plan.res2_shortcut_bn):
            yield f"res{stage + 2}.0"


def _fold_shortcut(state: dict[str, Tensor], block: str) -> None:
    """Replace the shortcut's BatchNorm by an equal scale of its convolution and a shift."""
    bn = {
        name: state.pop(f"{block}.shortcut_bn.{name}")
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    scale = bn["weight"].double() / torch.sqrt(bn["running_var"].double() + BN_EPS)
    shift = bn["bias"].double() - scale * bn["running_mean"].double()
    conv, bias = f"{block}.shortcut.weight", f"{block}.project_bn.bias"
    scaled = state[conv].double() * scale.reshape(-1, 1, 1, 1, 1)
    state[conv] = scaled.to(state[conv].dtype)
    state[bias] = (state[bias].double() + shift).to(state[bias].dtype)


def _renamed(state: State, names: Mapping[str, str]) -> dict[str, Tensor]:
    renamed = {}
    for key, value in state.items():
        module, _, leaf = key.rpartition(".")
        renamed[f"{names[module]}.{leaf}"] = value
    return renamed
