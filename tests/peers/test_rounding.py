"""The distance of a float32 training step from float64: ours beside eager pytorchvideo's."""

from __future__ import annotations

import copy
from statistics import median

import pytest
import torch
from torch import Tensor, nn

from expand3d.interop.pytorchvideo.multipliers import create_x3d_arguments
from expand3d.networks.families.x3d import FAMILY
from expand3d.networks.ops import compiled as kernels
from expand3d.networks.weights.x3d_names import to_pytorchvideo
from tests.helpers.batch_norms import draw

pytestmark = pytest.mark.peers

SEEDS = range(5)
#: The largest error of ours in multiples of theirs. Measured were 1.0 and 1.1 with compiled loops,
#: 1.1 to 1.3 in plain torch, and 6 of the logits with one float32 sum over all rows of a BatchNorm.
#: Another CPU may round a little differently.
LIMIT = 1.25 if kernels.available() else 1.5


def step(net: nn.Module, clips: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits in training mode, and the gradients of all weights."""
    logits = net(clips)
    loss = nn.functional.cross_entropy(logits, labels)
    return logits.detach(), list(torch.autograd.grad(loss, list(net.parameters())))


def distances(net: nn.Module, clips: Tensor, labels: Tensor) -> tuple[float, float]:
    """Relative distance from float64 of the logits, and the median of the gradients'."""
    logits, gradients = step(net, clips, labels)
    exact, exact_gradients = step(copy.deepcopy(net).double(), clips.double(), labels)
    away = [
        float((value.double() - reference).norm() / reference.norm())
        for value, reference in zip((logits, *gradients), (exact, *exact_gradients), strict=True)
    ]
    return away[0], median(away[1:])


def test_a_step_is_about_as_near_to_float64_as_pytorchvideos() -> None:
    from pytorchvideo.models.x3d import create_x3d

    genotype = FAMILY.base.replace(gamma_b=2.25)
    plan = FAMILY.resolve(genotype, num_classes=10, res2_shortcut_bn=False)
    ours, theirs = [], []
    for seed in SEEDS:
        torch.manual_seed(seed)
        net = FAMILY.build(plan, dropout=0.0).train()
        draw(net)
        arguments = create_x3d_arguments(plan, genotype)
        peer = create_x3d(**{**arguments, "head_activation": None, "dropout_rate": 0.0}).train()
        peer.load_state_dict(to_pytorchvideo(net.state_dict(), plan), strict=True)
        clips, labels = torch.randn(8, 3, 1, 112, 112), torch.randint(10, (8,))
        theirs.append(distances(peer, clips, labels))
        net.to(memory_format=torch.channels_last_3d)
        ours.append(distances(net, clips.to(memory_format=torch.channels_last_3d), labels))
    logits, their_logits = (median(each[0] for each in side) for side in (ours, theirs))
    assert logits <= LIMIT * their_logits
    # Where a sum near zero changes sign, a ReLU changes a gradient by 1e-3 at once, on either side.
    # Such seeds say nothing about rounding; the second smallest distance is one without.
    gradients, their_gradients = (sorted(each[1] for each in side)[1] for side in (ours, theirs))
    assert gradients <= LIMIT * their_gradients
