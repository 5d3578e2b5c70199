"""True where nobody has stepped in: the one case of compiled loops and fused operators.

They read parameters and write running statistics without calling the modules, and differentiate by
formulas of their own. torch offers many ways to change what a call does or to watch it: hooks,
parametrizations, pruning, frozen parameters, other classes, modes, transforms. Where any of them is
in use, torch's own operators run, module by module. This file reads private names of torch; the
test beside it (`tests/networks/families/test_untouched.py`) lists the ways.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules.module import _has_any_global_hook

#: Tensors without an own way through torch's operators.
_TENSORS = (Tensor, nn.Parameter)


def never_ours(x: Tensor) -> bool:
    """True where torch's own operators are to be used on NCTHW `x`, whatever the modules.

    So it is off the CPU, under tracing, in lower precision, under a transform, a mode or hooks of
    all modules, and for what is no batch of clips in real numbers. torch's meta device, where
    memory is counted under modes, stands for the CPU.
    """
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or type(x) not in _TENSORS
        or x.device.type not in ("cpu", "meta")
        or x.dim() != 5
        or x.numel() == 0
        or x.is_complex()
        or torch.is_autocast_enabled("cpu")
        or _has_any_global_hook()
        or transformed()
        or (not x.is_meta and _in_a_mode())
    )


def transformed() -> bool:
    """True where a transform of `torch.func` or forward-mode differentiation is on its way."""
    interpreters = torch._C._functorch.peek_interpreter_stack()
    return interpreters is not None or forward_ad._current_level >= 0


def _in_a_mode() -> bool:
    """True where somebody sees every operator that is called."""
    return bool(torch._C._len_torch_function_stack() or torch._C._len_torch_dispatch_stack())


def watched(module: nn.Module) -> bool:
    """True where calling `module` does more than its class's `forward` with its own parameters."""
    return _has_any_global_hook() or _has_own_ways(module)


def _has_own_ways(module: nn.Module) -> bool:
    """`watched`, but for hooks of all modules, which are none of one module's."""
    own = module.__dict__  # read as it is: every block asks a dozen modules on every call
    return bool(
        own["_forward_hooks"]
        or own["_forward_pre_hooks"]
        or own["_backward_hooks"]
        or own["_backward_pre_hooks"]
        or own.get("_compiled_call_impl")
        # What stands in front of a class's method or of a parameter.
        or "forward" in own
        or "gate" in own
        or "weight" in own
        or "bias" in own
    )


def untouched(x: Tensor, module: nn.Module | None, *kinds: type[nn.Module]) -> bool:
    """True where calling `module`, one of `kinds` and not of a subclass, does what its class says.

    `never_ours` has been asked of `x` before. The parameters have the type of `x` and are where it
    is, and where gradients are wanted, every one has one. Children are not looked at. Hooks on a
    parameter are autograd's, which runs them.
    """
    if module is None or type(module) not in kinds or _has_own_ways(module):
        return False
    for parameter in module._parameters.values():
        if parameter is None:
            continue
        if type(parameter) is not nn.Parameter or not _alike(parameter, x):
            return False
        if not parameter.requires_grad and torch.is_grad_enabled():
            return False
    return True


def untouched_norm(x: Tensor, norm: nn.Module | None, channels: int) -> bool:
    """True where `norm` is a BatchNorm of `channels` as `nn.BatchNorm3d(channels)` makes it."""
    if not untouched(x, norm, nn.BatchNorm3d):
        return False
    assert isinstance(norm, nn.BatchNorm3d)
    learned, counted = norm._parameters, norm._buffers
    if norm.momentum is None or counted["num_batches_tracked"] is None:
        return False
    running = counted["running_mean"], counted["running_var"]
    for each in (learned["weight"], learned["bias"], *running):
        if each is None or each.shape != (channels,) or not each.is_contiguous():
            return False
    return all(each is not None and _alike(each, x) for each in running)


def _alike(tensor: Tensor, x: Tensor) -> bool:
    """True where both have one type and are both in a CPU's memory or both not."""
    return tensor.dtype == x.dtype and tensor.is_cpu == x.is_cpu
