"""The memory that a training takes at its peak on a CPU, before anything is trained.

What the forward pass keeps for the backward pass is counted on a network without storage (torch's
meta device) whose operators are a CPU's: exact, but for copies that torch's own 3D convolutions
make where layouts differ (R(2+1)D keeps a tenth more). The rest was measured on trainings of ten
families: the process, the libraries' workspaces, and what is alive beside what is kept, in a heap
that keeps what was freed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from expand3d.core.genotype import Plan
from expand3d.networks import get_family
from expand3d.networks.example import example

#: Bytes of a process that trains: Python, torch and its libraries with their workspaces. A worker
#: has some 25 MB less of them, the process that drives a study as much more.
PROCESS = 265 * 10**6
#: Peak of the heap / what is kept for the backward pass.
HEAP = 1.75
#: A weight, its gradient and its momentum.
PER_WEIGHT = 3
FLOAT_BYTES = 4


@lru_cache(maxsize=4096)
def training_memory(plan: Plan, *, clips: int) -> int:
    """Predicted bytes of the process while `plan` is trained on a CPU, `clips` in a pass."""
    import torch
    from torch.autograd.graph import saved_tensors_hooks

    with torch.random.fork_rng(devices=[]), torch.device("meta"), _without_values():
        network = get_family(plan.family).build(plan).train()
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
        learned = sum(parameter.nbytes for parameter in network.parameters())
        kept: dict[int, torch.UntypedStorage] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in weights:  # nor a view of them
                kept[storage._cdata] = storage
            return tensor

        batch = example(plan, clips, device="meta")
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            found = network(*batch)
    streams = found if isinstance(found, tuple) else (found,)
    assert all(logits.shape == (clips, plan.num_classes) for logits in streams)
    size = sum(storage.nbytes() for storage in kept.values())
    return round(PROCESS + HEAP * size + PER_WEIGHT * learned)


def _without_values() -> AbstractContextManager[Any]:
    """Operators on the meta device as a CPU has them, and quick.

    Convolutions keep the memory layout, as a CPU's do and the meta device's do not. What only fills
    or updates values is left out, and what autograd does not see is made by its shape alone: torch
    would go through Python for each, which takes longer than all that counts here.
    """
    import torch
    from torch import Tensor
    from torch.nn import init
    from torch.overrides import TorchFunctionMode

    layouts = {torch.conv2d: torch.channels_last, torch.conv3d: torch.channels_last_3d}
    fills = {Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_, Tensor.lerp_, Tensor.add_}
    draws = {init.normal_, init.uniform_, init.kaiming_uniform_}
    each = {Tensor.mul, Tensor.div, Tensor.add, Tensor.sub, Tensor.rsqrt, torch.rsqrt}
    each |= {Tensor.__rmul__, Tensor.__rsub__, Tensor.__rtruediv__, Tensor.__radd__}

    class Mode(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func in fills:
                return args[0]
            if func in draws:
                return kwargs["tensor"]
            if func in each and not torch.is_grad_enabled() and not kwargs and _alike(args):
                return torch.empty_like(args[0])
            out = func(*args, **(kwargs or {}))
            return out.contiguous(memory_format=layouts[func]) if func in layouts else out

    return Mode()


def _alike(args: Any) -> bool:
    """True where what comes of `args`, element by element, has shape and type of the first."""
    first, *rest = args
    return first.is_floating_point() and all(
        isinstance(each, int | float) or (each.shape == first.shape and each.dtype == first.dtype)
        for each in rest
    )
