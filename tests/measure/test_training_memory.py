"""The memory that a training is predicted to take, against what a pass on the CPU keeps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from expand3d.measure.memory import HEAP, PER_WEIGHT, PROCESS, training_memory
from expand3d.networks import get_family


@pytest.mark.parametrize(
    "name, factors",
    [("x3d", {}), ("x3d", {"gamma_t": 3, "gamma_b": 2.25}), ("r3d", {}), ("csn", {}), ("t3d", {})],
)
def test_what_is_kept_for_the_backward_pass_is_counted_exactly(
    name: str, factors: dict[str, float]
) -> None:
    family = get_family(name)
    plan = family.resolve(family.base.replace(**factors), num_classes=5)
    network = family.build(plan).train().to(memory_format=torch.channels_last_3d)
    weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    kept: dict[int, tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    clips = torch.randn(3, plan.frames, plan.crop, plan.crop, 3).movedim(4, 1)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        network(clips)
    size = sum(nbytes for nbytes, _ in kept.values())
    learned = sum(weight.nbytes for weight in network.parameters())
    predicted = training_memory(plan, clips=3)
    assert predicted - PROCESS - PER_WEIGHT * learned == pytest.approx(HEAP * size, rel=1e-3)
