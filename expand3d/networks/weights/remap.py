"""The weights of one network as the start of a larger or smaller one of its family.

Larger networks compute what the old one computed, exactly, in train and in eval mode:

- new channels are written at random and read by nobody: what reads them is zero;
- a new block's last BatchNorm has weight and bias 0, so that its residual stream passes;
- before frames are added, the places of kernels over time that met only padding are zeroed. They
  had no gradient and are the noise of the first draw.

Smaller networks keep the blocks at the front of a stage, and of each group of channels those of
most importance: BatchNorm's |weight| times the norm of the row that makes the channel, summed over
all rows that write it. What the network computes changes, and BatchNorm's statistics have to be
taken again. Another crop, stride or number of frames leaves the weights as they are; for them the
same holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from expand3d.core.errors import WeightsError
from expand3d.core.genotype import Plan
from expand3d.networks import get_family
from expand3d.networks.remapping.channels import Channels, Entry, Group, Space, Writer
from expand3d.networks.weights.convert import refuse

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Remapped:
    """A state dict, and for each of its numbers whether it is new rather than from old weights."""

    state: dict[str, Tensor]
    new: dict[str, Tensor]


def remap(old: Plan, state: State, new: Plan, *, classifier: bool = True) -> dict[str, Tensor]:
    """The state dict of `new`'s network that begins as the network of `old` with `state` ended.

    `remapped` does the same, and says what is new.
    """
    return remapped(old, state, new, classifier=classifier).state


def remapped(old: Plan, state: State, new: Plan, *, classifier: bool = True) -> Remapped:
    """The weights of `new`'s network that begins as the network of `old` with `state` ended.

    New numbers are drawn from torch's random state as the family initialises them. Without
    `classifier`, and where the number of classes is another, the last layer is drawn anew.
    WeightsError where the families differ, or says what the family cannot remap.
    """
    if old.family != new.family:
        raise WeightsError(f"weights of {old.family} cannot start a network of {new.family}")
    family = get_family(new.family)
    refuse([], state, _shapes(old))
    channels = Channels(family.name)
    family.follow(old, new, channels)
    fresh = family.build(new).state_dict()
    classifier = classifier and old.num_classes == new.num_classes
    kept = _Kept(channels.writers, state, classifier=classifier)
    found = {
        name: fresh[name].to(_like(state, fresh[name]))
        for name in fresh
        if _within(name, channels.added)
    }
    for module in channels.silent:
        found |= {f"{module}.{leaf}": 0 * found[f"{module}.{leaf}"] for leaf in ("weight", "bias")}
    found |= {name: state[name].clone() for name in fresh if _within(name, channels.copied)}
    is_new = {
        name: torch.full(value.shape, _within(name, channels.added))
        for name, value in fresh.items()
    }
    for entry in channels.entries:
        begun = _tensor(entry, state[entry.name], fresh[entry.name], kept)
        found[entry.name], is_new[entry.name] = begun
    forgotten = fresh.keys() ^ found.keys()
    assert not forgotten, f"{family.name}.follow says nothing of {sorted(forgotten)}"
    return Remapped({name: found[name] for name in fresh}, is_new)


@lru_cache(maxsize=64)
def _shapes(plan: Plan) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a network; many grow from one."""
    with torch.device("meta"):
        state = get_family(plan.family).build(plan).state_dict()
    return {name: tuple(value.shape) for name, value in state.items()}


def _within(name: str, modules: list[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _like(state: State, fresh: Tensor) -> torch.dtype:
    """The precision of `state` for numbers that are no counters."""
    floating = (value.dtype for value in state.values() if value.is_floating_point())
    return next(floating, fresh.dtype) if fresh.is_floating_point() else fresh.dtype


class _Kept:
    """The old channel that each new one is, by group; -1 where it is new."""

    def __init__(self, writers: list[Writer], state: State, *, classifier: bool) -> None:
        self._classifier = classifier
        self._importance = _importance(writers, state)
        self._found: dict[Group, Tensor] = {}
        self._places: dict[Space, Tensor] = {}

    def of(self, space: Space) -> Tensor:
        """The old place of each new channel of `space`."""
        if space not in self._places:
            self._places[space] = self._look(space)
        return self._places[space]

    def _look(self, space: Space) -> Tensor:
        places, start = [], 0
        for part in space:
            group = self._of(part.group.root)
            each = group[:, None] * part.repeat + torch.arange(part.repeat)
            places.append(torch.where(group[:, None] < 0, -1, each + start).flatten())
            start += part.group.old * part.repeat
        return torch.cat(places)

    def _of(self, group: Group) -> Tensor:
        if group not in self._found:
            self._found[group] = self._choose(group)
        return self._found[group]

    def _choose(self, group: Group) -> Tensor:
        if group.outputs and not self._classifier:
            return torch.full((group.new,), -1)
        if group.new >= group.old:
            return torch.cat([torch.arange(group.old), torch.full((group.new - group.old,), -1)])
        best = torch.argsort(self._importance[group], descending=True, stable=True)
        return best[: group.new].sort().values


def _importance(writers: list[Writer], state: State) -> dict[Group, Tensor]:
    """The importance of each old channel, by group."""
    found: dict[Group, Tensor] = {}
    for writer in writers:
        norms = [state[f"{name}.weight"].double().flatten(1).norm(dim=1) for name in writer.modules]
        rows = torch.stack(norms).prod(dim=0)
        if writer.norm is not None:
            rows = rows * state[f"{writer.norm}.weight"].double().abs()
        start = 0
        for part in writer.writes:
            share = rows[start : start + part.group.old]
            found[part.group.root] = found.get(part.group.root, 0) + share
            start += part.group.old
    return found


def _tensor(entry: Entry, old: Tensor, fresh: Tensor, kept: _Kept) -> tuple[Tensor, Tensor]:
    """The new network's tensor, and for each of its numbers whether no old weight has trained it.

    The old numbers, and zeros where an old row reads a new column.
    """
    rows = kept.of(entry.writes)
    found, is_new = fresh.to(old.dtype), torch.ones(fresh.shape, dtype=torch.bool)
    was = rows >= 0
    known = old[rows[was]]
    noise = torch.zeros_like(known, dtype=torch.bool)
    if entry.untouched:
        known[:, :, list(entry.untouched)] = 0
        noise[:, :, list(entry.untouched)] = True
    if entry.reads is not None:
        columns = kept.of(entry.reads)
        there = columns >= 0
        read, unknown = torch.zeros_like(found[was]), torch.ones_like(is_new[was])
        read[:, there] = known[:, columns[there]]
        unknown[:, there] = noise[:, columns[there]]
        known, noise = read, unknown
    found[was], is_new[was] = known, noise
    return found, is_new
