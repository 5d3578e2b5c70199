"""Random inputs of a network; no other module spells their shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from expand3d.core.genotype import Plan


def example(
    plan: Plan, clips: int, *, crop: int | None = None, device: str = "cpu"
) -> tuple[Tensor, ...]:
    """A float32 batch of `clips` for each of `plan.inputs`: N x C x T x H x W, channels last.

    `crop` asks for another size than the training crop. On the device "meta" the batch has no
    values. The random state is left as it was.
    """
    import torch

    if device == "meta":
        made = (torch.empty(*_stored(plan, clips, i, crop), device=device) for i in _count(plan))
    else:
        made = (view.to(device).div(255) for view in example_views(plan, clips, crop=crop))
    return tuple(batch_NTHWC.movedim(4, 1) for batch_NTHWC in made)


def example_views(plan: Plan, clips: int, *, crop: int | None = None) -> tuple[Tensor, ...]:
    """The same as a data set gives it: uint8, N x T x H x W x C, of random pixels."""
    import torch

    noise = torch.Generator().manual_seed(0)
    return tuple(
        torch.randint(256, _stored(plan, clips, i, crop), dtype=torch.uint8, generator=noise)
        for i in _count(plan)
    )


def _count(plan: Plan) -> range:
    return range(len(plan.inputs))


def _stored(plan: Plan, clips: int, index: int, crop: int | None) -> tuple[int, int, int, int, int]:
    """N x T x H x W x C of one input."""
    one = plan.inputs[index]
    channels, pictures, height, width = (one.at(crop) if crop else one).shape
    return clips, pictures, height, width, channels
