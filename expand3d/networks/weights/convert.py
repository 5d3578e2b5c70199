"""Weights of other codebases under our names: a table of renamings per family and codebase."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from expand3d.core.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from expand3d.core.genotype import Plan

#: How many names an error lists.
LISTED = 8
COUNTER = ".num_batches_tracked"
#: The other tensors of a BatchNorm.
LEAVES = ("weight", "bias", "running_mean", "running_var")
#: Where checkpoints of trainings keep the weights.
NESTED = ("state_dict", "model_state", "model")
#: What wrappers put before every name: DistributedDataParallel, torch.compile, Lightning.
PREFIXES = ("module.", "_orig_mod.", "model.")
#: torch's and pytorchvideo's default.
BN_EPS = 1e-5


def read(path: Path) -> Mapping[str, Tensor]:
    """The state dict in a .safetensors file, or in one that torch.save wrote.

    Of a training's checkpoint the model's part, without the prefixes of wrappers. WeightsError
    names the file where it holds none.
    """
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return _unwrapped(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        *(OSError, EOFError, ValueError, RuntimeError, pickle.UnpicklingError),
        SafetensorError,
    ) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path} is no file of weights: {why}") from None
    for key in NESTED:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(hasattr(v, "shape") for v in state.values()):
        raise WeightsError(f"{path} holds no state dict")
    if not state:
        raise WeightsError(f"{path} holds no weights")
    return _unwrapped(state)


def _unwrapped(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The same without what stands before every name."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            return _unwrapped({name.removeprefix(prefix): state[name] for name in state})
    return state


def state_digest(state: Mapping[str, Tensor]) -> str:
    """16 hex digits of the names and numbers of a state dict."""
    found = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.numpy().tobytes())
    return found.hexdigest()[:16]


def convert(plan: Plan, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in `state`, of whichever codebase, under the names of `plan`'s network.

    A classifier that is a 1x1x1 convolution there becomes the linear layer that it is, and files
    older than BatchNorm's counters (which no forward pass reads) get fresh ones. WeightsError lists
    the names that are unknown, missing or of another shape.
    """
    from expand3d.networks import get_family

    family = get_family(plan.family)
    fresh = family.build(plan).state_dict()
    wanted = {name: tuple(value.shape) for name, value in fresh.items()}
    if set(state) == set(wanted):
        renamed, unknown = dict(state), []
    else:
        source = next((one for one in family.sources if one.knows(list(state))), None)
        if source is None:
            known = ", ".join(one.codebase for one in family.sources) or "none"
            raise WeightsError(
                f"these are no weights of {family.name} in a naming that is known ({known}); "
                f"they begin with {_listed(sorted(state))}"
            )
        pairs = {name: source.rename(name) for name in state if not source.ignores(name)}
        unknown = [name for name, ours in pairs.items() if ours is None]
        renamed = {ours: state[name] for name, ours in pairs.items() if ours is not None}
        counters = {name: fresh[name] for name in wanted if name.endswith(COUNTER)}
        renamed = counters | {
            name: _linear(value, wanted.get(name)) for name, value in renamed.items()
        }
        for norm in source.absent:
            like = fresh.get(f"{norm}.weight")
            if like is not None and not any(f"{norm}.{leaf}" in renamed for leaf in LEAVES):
                renamed |= identity_norm(norm, like)
    if not unknown:
        _refuse_other_classes(plan.num_classes, renamed, wanted)
    refuse(unknown, renamed, wanted)
    return {name: renamed[name] for name in wanted}


def _refuse_other_classes(
    classes: int, renamed: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise WeightsError where all fits but for the number of classes."""
    if renamed.keys() != wanted.keys():
        return
    given = {name: tuple(value.shape) for name, value in renamed.items()}
    unfit = [name for name in wanted if given[name] != wanted[name]]
    theirs = {given[name][:1] for name in unfit}
    last = all((classes, *given[name][1:]) == wanted[name] for name in unfit)
    if len(theirs) == 1 and last and all(theirs):
        ((found,),) = theirs
        raise WeightsError(
            f"the last layer has {found} classes, not {classes}: convert with --num-classes {found}"
        )


def identity_norm(name: str, like: Tensor) -> dict[str, Tensor]:
    """The tensors of a BatchNorm that changes nothing in eval mode, shaped as `like`."""
    import torch

    return {
        f"{name}.weight": torch.ones_like(like),
        f"{name}.bias": torch.zeros_like(like),
        f"{name}.running_mean": torch.zeros_like(like),
        f"{name}.running_var": torch.full_like(like, 1 - BN_EPS),
        f"{name}{COUNTER}": torch.tensor(0),
    }


def _linear(value: Tensor, wanted: tuple[int, ...] | None) -> Tensor:
    """The weight of a 1x1x1 convolution as a linear layer's, where one is wanted."""
    pointwise = wanted is not None and len(wanted) == 2 and value.shape[2:] == (1, 1, 1)
    return value.flatten(1) if pointwise else value


def refuse(
    unknown: Sequence[str],
    renamed: Mapping[str, Tensor],
    wanted: Mapping[str, tuple[int, ...]],
) -> None:
    """Raise WeightsError unless all of `wanted` is there, in these shapes, and nothing else is."""
    unfit = [
        f"{name} {tuple(value.shape)} for {wanted[name]}"
        for name, value in renamed.items()
        if name in wanted and tuple(value.shape) != wanted[name]
    ]
    faults = {
        "unknown": [*unknown, *(name for name in renamed if name not in wanted)],
        "missing": [name for name in wanted if name not in renamed],
        "of another shape": unfit,
    }
    texts = [f"{len(names)} {what}: {_listed(names)}" for what, names in faults.items() if names]
    if texts:
        raise WeightsError("the weights do not fit the network; " + "; ".join(texts))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
