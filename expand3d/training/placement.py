"""The place of a training and its tensors' layout: device, threads, memory format, precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from expand3d.core.errors import ConfigError
from expand3d.core.inputs import RGB
from expand3d.core.recipe import Recipe
from expand3d.data.crops import normalise
from expand3d.networks.ops.gpu import channelwise_path
from expand3d.training import peak_memory as footprint
from expand3d.training.views import Views


class Peak(Protocol):
    """The largest use of memory since something began."""

    def look(self) -> None:
        """Take in what is held now; to be called between batches."""

    def peak(self) -> int:
        """Largest use in bytes."""


class _GpuPeak:
    """The peak of a GPU's tensors, which torch counts itself."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        torch.cuda.reset_peak_memory_stats(device)

    def look(self) -> None:
        pass

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self._device)


@dataclass(frozen=True)
class Placement:
    """Everything outside plan, recipe, seed and data that a result's last bits depend on."""

    device: torch.device
    threads: int
    channels_last: bool
    amp: bool

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def loader_threads(self) -> int:
        """Threads that read clips ahead: a GPU has to be fed by more than one."""
        return 4 if self.on_gpu else 1

    def model(self, model: nn.Module) -> nn.Module:
        """`model` on the device, in the memory layout."""
        layout = torch.channels_last_3d if self.channels_last else torch.contiguous_format
        # nn.Module.to takes a layout only by a signature that type stubs leave out.
        return model.to(self.device).to(memory_format=layout)  # type: ignore[call-overload]

    def inputs(self, views: Views, kinds: Sequence[str] = (RGB,)) -> tuple[Tensor, ...]:
        """The arguments of a network on the device, from the views of inputs of these kinds."""
        return tuple(self.input(view, kind) for view, kind in zip(views, kinds, strict=True))

    def input(self, views_NTHWC: Tensor, kind: str = RGB) -> Tensor:
        """Float N x C x T x H x W of one kind of input from uint8 N x T x H x W x C."""
        views_NCTHW = normalise(views_NTHWC.to(self.device, non_blocking=True), kind)
        return views_NCTHW if self.channels_last else views_NCTHW.contiguous()

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision in which the forward pass runs: bfloat16 under AMP."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.amp)

    @contextmanager
    def active(self) -> Iterator[Peak]:
        """The peak of memory from here on: of the device's, or of this process.

        Meanwhile the thread count is set; it and torch's random state are given back at the end.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        memory: Peak
        if self.on_gpu:
            memory = _GpuPeak(self.device)
        else:
            memory = footprint.begin()
            footprint.keep_freed_memory()  # or every step pays the page faults of its tensors again
        try:
            with torch.random.fork_rng(devices=[self.device] if self.on_gpu else []):
                yield memory
        finally:
            torch.set_num_threads(before)

    def environment(self) -> dict[str, Any]:
        """The facts of it that the record keeps."""
        name = torch.cuda.get_device_name(self.device) if self.on_gpu else "cpu"
        return {
            "torch": str(torch.__version__),
            "device": name,
            "threads": self.threads,
            "layout": "channels_last_3d" if self.channels_last else "contiguous",
            "channelwise": channelwise_path(self.device, autocast=self.amp),
            "amp": "bfloat16" if self.amp else "off",
        }


def place(recipe: Recipe, *, device: str = "cpu", threads: int | None = None) -> Placement:
    """The placement of `recipe` on `device` ("cpu", "cuda", "cuda:1" or "auto"); ConfigError else.

    "auto" in the recipe means channels-last on a CPU, where it is 1.3 to 1.5 times faster, and on a
    GPU where channel-wise convolutions have kernels for it; and AMP on a GPU that has bfloat16.
    `threads` None keeps torch's number.
    """
    gpu = torch.cuda.is_available()
    if device == "auto":
        device = "cuda" if gpu else "cpu"
    try:
        where = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"device = {device!r} must be 'auto', 'cpu' or 'cuda'") from None
    if where.type not in ("cpu", "cuda"):
        raise ConfigError(f"device = {device!r} is not supported; choose 'auto', 'cpu' or 'cuda'")
    if where.type == "cuda" and not gpu:
        raise ConfigError(f"device = {device!r}, but torch sees no GPU here; choose 'cpu'")
    on_gpu = where.type == "cuda"
    return Placement(
        device=where,
        threads=threads or torch.get_num_threads(),
        channels_last=_chosen(recipe.channels_last, auto=channelwise_path(where) != "aten"),
        amp=_chosen(recipe.amp, auto=on_gpu and torch.cuda.is_bf16_supported(False)),
    )


def _chosen(setting: str, *, auto: bool) -> bool:
    return auto if setting == "auto" else setting == "on"
