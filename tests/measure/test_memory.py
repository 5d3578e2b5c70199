"""The predicted peak of inference against tensors counted while networks of every family run."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from expand3d.core.genotype import Genotype
from expand3d.core.plugins import FAMILIES
from expand3d.networks import get_family, get_preset
from expand3d.networks.example import example


class Live(TorchDispatchMode):
    """Counts the bytes of tensors that operators made and that are still referred to."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.sizes:
                    self.sizes[storage._cdata] = storage.nbytes()
                    self.now += storage.nbytes()
                    weakref.finalize(tensor, self.forget, storage._cdata)
        self.peak = max(self.peak, self.now)
        return out

    def forget(self, key: int) -> None:
        self.now -= self.sizes.pop(key, 0)


def counted(genotype: Genotype) -> int:
    """Bytes of weights, clip and live tensors at the peak of one forward pass; nothing is run."""
    family = get_family(genotype.family)
    plan = family.resolve(genotype)
    with torch.device("meta"):
        network = family.build(plan).eval()
    clip = example(plan, 1, device="meta")
    kept = [*network.parameters(), *network.buffers(), *clip]
    weights = sum(t.numel() * t.element_size() for t in kept)
    with torch.inference_mode(), Live() as live:
        network(*clip)
    return weights + live.peak


PUBLISHED = (
    *("x2d", "x3d-m", "r3d-50", "r2plus1d-18", "ir-csn-50", "slowonly-8x8-r50", "c3d", "t3d-121"),
    *("slowfast-8x8-r50", "i3d", "s3d", "twostream-cnnm", "tsn-r50-1x1x8", "fusion-vgg16"),
    *("hidden-motionnet-vgg16", "i3d-twostream", "s3d-g-twostream", "r2plus1d-twostream"),
)


def test_every_family_is_there() -> None:
    assert {get_preset(name).genotype.family for name in PUBLISHED} == set(FAMILIES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_alive_is_near_the_prediction(name: str) -> None:
    genotype = get_preset(name).genotype
    family = get_family(genotype.family)
    predicted = family.cost(family.resolve(genotype)).memory
    assert 0.7 <= counted(genotype) / predicted <= 1.3
