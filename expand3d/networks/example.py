"""Random inputs of a network; no other module spells their shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from expand3d.core.genotype import Plan
    from expand3d.core.inputs import Input


def example(
    plan: Plan, clips: int, *, crop: int | None = None, device: str = "cpu"
) -> tuple[Tensor, ...]:
    """A float32 batch of `clips` for each of `plan.inputs`: N x C x T x H x W, channels last.

    `crop` asks for another size than the training crop. On the device "meta" the batch has no
    values. The random state is left as it was.
    """
    import torch

    inputs = _at(plan, crop)
    if device == "meta":
        made = [torch.empty(*_NTHWC(each.shape, clips), device=device) for each in inputs]
    else:
        noise = torch.Generator().manual_seed(0)
        pixels = [_noise(_NTHWC(each.shape, clips), noise) for each in inputs]
        made = [view.to(device).div(255) for view in pixels]
    return tuple(batch_NTHWC.movedim(4, 1) for batch_NTHWC in made)


def example_views(plan: Plan, clips: int, *, crop: int | None = None) -> tuple[Tensor, ...]:
    """The same as a data set gives it: uint8, N x T x H x W x C, of random pixels."""
    import torch

    noise = torch.Generator().manual_seed(0)
    return tuple(
        _noise(_NTHWC((each.stored_channels, *each.shape[1:]), clips), noise)
        for each in _at(plan, crop)
    )


def _noise(shape: tuple[int, ...], noise: torch.Generator) -> Tensor:
    import torch

    return torch.randint(256, shape, dtype=torch.uint8, generator=noise)


def _at(plan: Plan, crop: int | None) -> tuple[Input, ...]:
    """The inputs of the plan, at another size where one is given."""
    return tuple(each.at(crop) if crop else each for each in plan.inputs)


def _NTHWC(shape: tuple[int, ...], clips: int) -> tuple[int, ...]:
    channels, pictures, height, width = shape
    return clips, pictures, height, width, channels
