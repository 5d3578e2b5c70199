"""The memory that a training takes at its peak on a CPU, before anything is trained.

What the forward pass keeps for the backward pass is counted on a network without storage (torch's
meta device), so it is exact for every family. The rest was measured on trainings of eight families:
the process, the libraries' workspaces, and what is alive beside what is kept, in a heap that keeps
what was freed.
"""

from __future__ import annotations

from functools import lru_cache

from expand3d.families import get_family
from expand3d.genotype import Plan

#: Bytes of a process that trains: Python, torch and its libraries with their workspaces. A worker
#: has some 25 MB less of them, the process that drives a study as much more.
PROCESS = 265 * 10**6
#: Peak of the heap / what is kept for the backward pass.
HEAP = 1.55
#: A weight, its gradient and its momentum.
PER_WEIGHT = 3
FLOAT_BYTES = 4


@lru_cache(maxsize=4096)
def training_memory(plan: Plan, *, clips: int) -> int:
    """Predicted bytes of the process while `plan` is trained on a CPU, `clips` in a pass."""
    import torch
    from torch.autograd.graph import saved_tensors_hooks

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = get_family(plan.family).build(plan).train()
        weights = {id(parameter) for parameter in network.parameters()}
        learned = sum(parameter.nbytes for parameter in network.parameters())
        kept: dict[int, torch.UntypedStorage] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            if id(tensor) not in weights:
                storage = tensor.untyped_storage()
                kept[storage._cdata] = storage
            return tensor

        clips_NCTHW = torch.empty(clips, 3, plan.frames, plan.crop, plan.crop)
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            logits = network(clips_NCTHW)
    assert logits.shape == (clips, plan.num_classes)
    size = sum(storage.nbytes() for storage in kept.values())
    return round(PROCESS + HEAP * size + PER_WEIGHT * learned)
