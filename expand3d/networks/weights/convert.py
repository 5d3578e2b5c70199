"""Weights of other codebases under our names: a table of renamings per family and codebase."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expand3d.core.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from expand3d.core.genotype import Plan
    from expand3d.networks.family import Family, Source

#: How many names an error lists.
LISTED = 8
COUNTER = ".num_batches_tracked"
#: The other tensors of a BatchNorm.
LEAVES = ("weight", "bias", "running_mean", "running_var")
#: torch's and pytorchvideo's default.
BN_EPS = 1e-5


def state_digest(state: Mapping[str, Tensor]) -> str:
    """16 hex digits of the names and numbers of a state dict."""
    found = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.numpy().tobytes())
    return found.hexdigest()[:16]


@dataclass(frozen=True)
class Recognised:
    """The weights of a file under our names, which fit the network but for its classes.

    `codebase` is the one whose names they had, "" for ours. Those of the names in `head` are of
    `classes` classes, and the network's are not. `eps` is what that codebase's own networks add to
    a BatchNorm's variance.
    """

    codebase: str
    weights: dict[str, Tensor]
    classes: int
    head: tuple[str, ...] = ()
    eps: float = BN_EPS

    def as_published(self) -> dict[str, Tensor]:
        """The weights with running variances that make up for another eps than ours."""
        more = self.eps - BN_EPS
        return {
            name: value + more if name.endswith(".running_var") else value
            for name, value in self.weights.items()
        }


def convert(plan: Plan, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in `state`, of whichever codebase, under the names of `plan`'s network.

    WeightsError lists the names that are unknown, missing or of another shape, or the number of
    classes that is another.
    """
    found = recognise(plan, state)
    if found.head:
        raise WeightsError(
            f"the last layer has {found.classes} classes, not {plan.num_classes}: import with "
            f"--num-classes {found.classes}"
        )
    return found.weights


def recognise(
    plan: Plan, state: Mapping[str, Tensor], *, codebase: str | None = None
) -> Recognised:
    """The weights in `state` under the names of `plan`'s network, whose classes may be others.

    A classifier that is a 1x1x1 convolution there becomes the linear layer that it is, and files
    older than BatchNorm's counters (which no forward pass reads) get fresh ones. `codebase` is the
    one whose names they are; by default it is found. WeightsError lists the names that are
    unknown, missing or of another shape.
    """
    from expand3d.networks import get_family

    family = get_family(plan.family)
    fresh = family.build(plan).state_dict()
    wanted = {name: tuple(value.shape) for name, value in fresh.items()}
    theirs, unknown, eps = "", [], BN_EPS
    if set(state) == set(wanted) and codebase is None:
        renamed = dict(state)
    else:
        source = _source(family, list(state), codebase)
        theirs, eps = source.codebase, source.eps or BN_EPS
        pairs = {name: source.rename(name) for name in state if not source.ignores(name)}
        unknown = [name for name, ours in pairs.items() if ours is None]
        renamed = {ours: state[name] for name, ours in pairs.items() if ours is not None}
        counters = {name: fresh[name] for name in wanted if name.endswith(COUNTER)}
        renamed = counters | {
            name: _pointwise(value, wanted.get(name)) for name, value in renamed.items()
        }
        renamed |= source.turned(plan, renamed)
        for norm in source.absent:
            like = fresh.get(f"{norm}.weight")
            if like is not None and not any(f"{norm}.{leaf}" in renamed for leaf in LEAVES):
                renamed |= identity_norm(norm, like)
    classes, head = plan.num_classes, tuple[str, ...]()
    if not unknown and renamed.keys() == wanted.keys():
        classes, head = _other_classes(plan.num_classes, renamed, wanted)
    refuse(unknown, renamed, {n: (classes, *s[1:]) if n in head else s for n, s in wanted.items()})
    return Recognised(theirs, {name: renamed[name] for name in wanted}, classes, head, eps)


def _source(family: Family, names: Sequence[str], codebase: str | None) -> Source:
    """The naming that `names` are in; of the codebase, where one is given."""
    known = ", ".join(dict.fromkeys(one.codebase for one in family.sources)) or "none"
    asked = [one for one in family.sources if codebase in (None, one.codebase.lower())]
    if not asked:
        raise WeightsError(f"no names of {family.name} in {codebase} are known (known: {known})")
    found = [one for one in asked if one.knows(names)]
    if found:
        return found[0]
    if codebase is not None:
        known = codebase
    raise WeightsError(
        f"these are no weights of {family.name} in a naming that is known ({known}); "
        f"they begin with {_listed(sorted(names))}"
    )


def _other_classes(
    classes: int, renamed: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]]
) -> tuple[int, tuple[str, ...]]:
    """The classes of weights that fit but for their number, and the tensors of which it is so."""
    given = {name: tuple(value.shape) for name, value in renamed.items()}
    unfit = tuple(name for name in wanted if given[name] != wanted[name])
    theirs = {given[name][:1] for name in unfit}
    last = all((classes, *given[name][1:]) == wanted[name] for name in unfit)
    if len(theirs) == 1 and last and all(theirs):
        ((found,),) = theirs
        return found, unfit
    return classes, ()


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


def _pointwise(value: Tensor, wanted: tuple[int, ...] | None) -> Tensor:
    """A linear layer's weight as a 1x1x1 convolution's, or the other way, where it is wanted."""
    if wanted is None or value.ndim < 2 or {value.ndim, len(wanted)} != {2, 5}:
        return value
    if (*value.shape[2:], *wanted[2:]) != (1, 1, 1):
        return value
    return value.reshape(*value.shape[:2], *wanted[2:])


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
