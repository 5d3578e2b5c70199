"""The channels of two networks of a family followed side by side, as a list of tensors; no torch.

A family walks through both networks at once and tells a `Channels` what each tensor writes and
reads. What is added to one another is one group of channels, so that a residual stream keeps or
drops a channel everywhere. `weights.remap` carries out what is written down here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from expand3d.core.errors import WeightsError


@dataclass(eq=False)
class Group:
    """Channels that are kept or dropped together: `old` of them in one network, `new` in the other.

    `outputs` marks those that are classes.
    """

    old: int
    new: int
    outputs: bool = False
    _same: Group | None = field(default=None, repr=False)

    @property
    def root(self) -> Group:
        """The group that stands for all that are the same."""
        found = self
        while found._same is not None:
            found = found._same
        return found

    def join(self, other: Group) -> None:
        """Make the two one; they have the same sizes."""
        one, two = self.root, other.root
        if one is not two:
            two._same = one


class Part(NamedTuple):
    """The channels of a group within a tensor's, `repeat` numbers of each side by side."""

    group: Group
    repeat: int = 1


Space = tuple[Part, ...]


@dataclass(frozen=True)
class Entry:
    """A tensor of both networks: its rows are `writes`, its columns `reads` (None: none to follow).

    `untouched` are the places along time of its kernel that met nothing but padding in the old
    network, so that what they hold is noise.
    """

    name: str
    writes: Space
    reads: Space | None = None
    untouched: tuple[int, ...] = ()


@dataclass
class Writer:
    """Convolutions or a linear layer whose rows make channels, and the BatchNorm behind the last.

    There are several where others follow at once that treat each channel alone.
    """

    modules: list[str]
    writes: Space
    norm: str | None = None


class Channels:
    """All tensors of two networks: those of both, those that stay the same, those that are new."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.entries: list[Entry] = []
        self.writers: list[Writer] = []
        #: Modules of the new network alone, and BatchNorms of them that begin at zero.
        self.added: list[str] = []
        self.silent: list[str] = []
        #: Modules whose tensors are the same in both.
        self.copied: list[str] = []

    def refuse(self, path: str, why: str) -> WeightsError:
        """The error that says what cannot be remapped."""
        return WeightsError(f"{self.family} cannot be remapped at {path}: {why}")

    def inputs(self, old: int, new: int) -> Space:
        """The channels of the networks' input."""
        if old != new:
            raise self.refuse("its input", f"it has {old} channels there and {new} here")
        return (Part(Group(old, new)),)

    def dense(
        self,
        module: str,
        reads: Space,
        old: int,
        new: int,
        *,
        bias: bool = False,
        untouched: tuple[int, ...] = (),
    ) -> Space:
        """The channels behind a layer that mixes all of `reads` into `old` and `new` channels."""
        return self._write(module, (Part(Group(old, new)),), reads, bias, untouched)

    def channelwise(
        self, module: str, x: Space, *, bias: bool = False, untouched: tuple[int, ...] = ()
    ) -> Space:
        """The same channels behind a convolution that treats each alone."""
        return self._write(module, x, None, bias, untouched)

    def _write(
        self,
        module: str,
        writes: Space,
        reads: Space | None,
        bias: bool,
        untouched: tuple[int, ...],
    ) -> Space:
        self.entries.append(Entry(f"{module}.weight", writes, reads, untouched))
        if bias:
            self.entries.append(Entry(f"{module}.bias", writes))
        if reads is None and self._open(writes):
            self.writers[-1].modules.append(module)
        else:
            self.writers.append(Writer([module], writes))
        return writes

    def _open(self, x: Space) -> bool:
        """True where nothing stands behind the last layer that wrote `x`."""
        return bool(self.writers) and self.writers[-1].norm is None and self.writers[-1].writes is x

    def gate(self, module: str, x: Space, *, reads: Space, bias: bool = False) -> None:
        """A layer from `reads` whose outputs scale the channels `x`: it makes no channel."""
        self.entries.append(Entry(f"{module}.weight", x, reads))
        if bias:
            self.entries.append(Entry(f"{module}.bias", x))

    def norm(self, module: str, x: Space) -> None:
        """A BatchNorm of `x`."""
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            self.entries.append(Entry(f"{module}.{leaf}", x))
        self.copied.append(f"{module}.num_batches_tracked")
        if self._open(x):
            self.writers[-1].norm = module

    def add(self, path: str, one: Space, two: Space) -> Space:
        """The channels of a sum: each of `one` is the one of `two` at its place."""
        sizes = [
            [(part.group.old, part.group.new, part.repeat) for part in space]
            for space in (one, two)
        ]
        if sizes[0] != sizes[1]:
            raise self.refuse(path, "what is added there does not have the same parts")
        for part, other in zip(one, two, strict=True):
            part.group.join(other.group)
        return one

    def add_block(self, module: str, *, silent: str) -> None:
        """A residual block of the new network alone, which the BatchNorm `silent` mutes."""
        self.added.append(module)
        self.silent.append(silent)

    def outputs(self, space: Space) -> None:
        """Mark the channels that are the networks' classes."""
        for part in space:
            part.group.root.outputs = True


def repeated(x: Space, times: int) -> Space:
    """The channels of a tensor that holds `times` values of each of `x` side by side."""
    return tuple(Part(part.group, part.repeat * times) for part in x)


def changes(x: Space) -> bool:
    """True where the two networks have other numbers of these channels."""
    return any(part.group.old != part.group.new for part in x)


def untouched_taps(
    kernel: int, *, frames: int, stride: int, before: int, positions: int
) -> tuple[int, ...]:
    """The places of a kernel over time that met nothing but padding, in a clip of `frames`.

    `before` is the padding before the first frame, `positions` how often the kernel was laid on.
    """
    met: Collection[int] = {
        tap
        for tap in range(kernel)
        if any(0 <= at * stride - before + tap < frames for at in range(positions))
    }
    return tuple(tap for tap in range(kernel) if tap not in met)
