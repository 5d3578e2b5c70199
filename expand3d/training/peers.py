"""Several processes that train one network together: each takes whole passes of every step.

A step's passes go round among the processes. Gradients are summed, and BatchNorm's running
statistics are joined in the order of passes, so that the weights are those of one process up to
rounding. The first process alone validates, tests and writes.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from expand3d.core.errors import ConfigError, UserError
from expand3d.training.step import BATCH_NORMS, Shown

T = TypeVar("T")

#: The first process validates while others wait for it; a lost one is noticed at once all the same.
PATIENCE = datetime.timedelta(days=7)
LOST = (
    "another process of this training ended, or cannot be reached ({error}); the last checkpoint "
    "stays, and the same command goes on from there"
)


class Peers(Protocol):
    """The processes of a training, of which this is one."""

    #: True in the process that validates, tests and writes.
    first: bool

    def own(self, numbers: range, passes: int) -> Sequence[int]:
        """Those passes, of whole steps of so many, that this process takes."""

    def agree(self, step: int) -> None:
        """UserError where the processes would begin at other steps."""

    def before(self, network: nn.Module) -> None:
        """A step begins."""

    def passed(self, network: nn.Module) -> None:
        """A pass of this process is done, backward too."""

    def joined(self, network: nn.Module, shown: Sequence[Shown]) -> list[Shown]:
        """The losses and hits of all passes, in order; the network has the gradients of all."""

    def any(self, wish: bool) -> bool:
        """True where one process wishes it."""


class Alone:
    """The only process."""

    first = True

    def own(self, numbers: range, passes: int) -> Sequence[int]:
        return numbers

    def agree(self, step: int) -> None:
        pass

    def before(self, network: nn.Module) -> None:
        pass

    def passed(self, network: nn.Module) -> None:
        pass

    def joined(self, network: nn.Module, shown: Sequence[Shown]) -> list[Shown]:
        return list(shown)

    def any(self, wish: bool) -> bool:
        return wish


ALONE = Alone()


class Together:
    """One of the `world` processes that torchrun started, by torch's process group."""

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world, self.first = rank, world, rank == 0
        self._before: list[Tensor] = []
        self._parts: list[Tensor] = []

    def own(self, numbers: range, passes: int) -> Sequence[int]:
        if passes % self.world:
            raise ConfigError(
                f"{self.world} processes share the passes of a step, and {passes} cannot be shared "
                f"evenly; --accumulate {self.world} would do, or another multiple of it"
            )
        return [number for number in numbers if number % passes % self.world == self.rank]

    def agree(self, step: int) -> None:
        steps = self._in_order(torch.tensor([[float(step)]])).flatten().tolist()
        if len(set(steps)) > 1:
            raise UserError(
                "the processes would go on from other steps: all of them need the folder of the "
                "result, where the checkpoint is"
            )

    def before(self, network: nn.Module) -> None:
        self._before = [each.detach().clone() for each in _statistics(network)]
        self._parts = []
        self._clear(network)

    @torch.no_grad()
    def _clear(self, network: nn.Module) -> None:
        for each in _statistics(network):
            each.zero_()

    @torch.no_grad()
    def passed(self, network: nn.Module) -> None:
        # From zero, what the update leaves is momentum x the statistics of this pass.
        self._parts.append(_flat(_statistics(network)))
        self._clear(network)

    @torch.no_grad()
    def joined(self, network: nn.Module, shown: Sequence[Shown]) -> list[Shown]:
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        self._sum(gradients)
        self._join_statistics(network, len(shown))
        table = torch.tensor([[each.loss, each.correct] for each in shown], dtype=torch.float64)
        rows = self._in_order(table)
        return [Shown(float(loss), int(correct)) for loss, correct in rows.tolist()]

    def _sum(self, tensors: Sequence[Tensor]) -> None:
        if not tensors:
            return
        flat = _flat(tensors)
        with _noticing():
            torch.distributed.all_reduce(flat)
        _unflatten(flat, tensors)

    def _join_statistics(self, network: nn.Module, own: int) -> None:
        """Take all passes' statistics one after the other, as one process does."""
        buffers = _statistics(network)
        if not buffers:
            return
        rows = self._in_order(torch.stack(self._parts))
        keeps = _flat([torch.full_like(b, 1 - momentum) for b, momentum in _with_momentum(network)])
        found = _flat(self._before)
        for row in rows:
            found = keeps * found + row
        _unflatten(found, buffers)
        for module in network.modules():
            if isinstance(module, BATCH_NORMS) and module.training:
                assert module.num_batches_tracked is not None, "it tracks statistics"
                module.num_batches_tracked += (self.world - 1) * own

    def _in_order(self, rows: Tensor) -> Tensor:
        """The rows of all processes, a row per pass, in the order of passes."""
        device = _device()
        mine = rows.to(device).contiguous()
        found = [torch.empty_like(mine) for _ in range(self.world)]
        with _noticing():
            torch.distributed.all_gather(found, mine)
        return torch.stack(found, dim=1).flatten(0, 1).to(rows.device)

    def any(self, wish: bool) -> bool:
        flag = torch.tensor([float(wish)], device=_device())
        with _noticing():
            torch.distributed.all_reduce(flag)
        return bool(flag.item())


def helps() -> bool:
    """True in all processes of torchrun but the first, which speaks for them."""
    return int(os.environ.get("RANK", "0")) > 0


def beside_here() -> int:
    """Processes of the training on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def together() -> Iterator[Peers]:
    """The processes that torchrun has started, or this one alone; the group ends with it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or "RANK" not in os.environ:
        yield ALONE
        return
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(local)
    with _noticing():
        torch.distributed.init_process_group("nccl" if gpu else "gloo", timeout=PATIENCE)
    try:
        yield Together(rank, world)
    finally:
        torch.distributed.destroy_process_group()


def first_then_others(peers: Peers, do: Callable[[], T]) -> T:
    """The value of `do`, which the first process has done before the others do it."""
    if peers.first:
        found = do()
        peers.any(False)
        return found
    peers.any(False)
    return do()


@contextmanager
def _noticing() -> Iterator[None]:
    """UserError where another process is lost."""
    try:
        yield
    except RuntimeError as error:
        why = str(error).strip().splitlines()[0][:120]
        raise UserError(LOST.format(error=why)) from None


def _device() -> torch.device:
    """The place where the process group reads tensors."""
    nccl = torch.distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")


def _with_momentum(network: nn.Module) -> list[tuple[Tensor, float]]:
    """Every running statistic, and the share of a pass in it."""
    found: list[tuple[Tensor, float]] = []
    for module in network.modules():
        tracks = isinstance(module, BATCH_NORMS) and module.running_mean is not None
        if tracks and module.training:
            momentum: Any = 0.1 if module.momentum is None else module.momentum
            buffers: tuple[Any, Any] = (module.running_mean, module.running_var)
            found += [(buffer, momentum) for buffer in buffers]
    return found


def _statistics(network: nn.Module) -> list[Any]:
    return [buffer for buffer, _ in _with_momentum(network)]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([each.detach().flatten() for each in tensors])


def _unflatten(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """Copy the parts of `flat` into the tensors."""
    at = 0
    for each in tensors:
        each.copy_(flat[at : at + each.numel()].view_as(each))
        at += each.numel()
