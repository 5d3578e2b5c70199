"""Weights of torchvision's image DenseNet in ours of one frame: the same logits."""

from __future__ import annotations

import re

import pytest
import torch

from expand3d.networks import get_family, get_preset
from expand3d.networks.families.t3d import TORCHVISION
from expand3d.networks.weights.inflate import inflate

pytestmark = pytest.mark.peers


@pytest.mark.parametrize("dots", [False, True], ids=["names", "names of older files"])
@pytest.mark.parametrize("depth", [121, 169])
def test_logits_are_equal(depth: int, dots: bool) -> None:
    from torchvision import models

    torch.manual_seed(0)
    peer = getattr(models, f"densenet{depth}")(num_classes=1000).eval()
    for module in peer.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
    state = peer.state_dict()
    if dots:
        state = {
            re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): value
            for name, value in state.items()
            if not name.endswith("num_batches_tracked")
        }
    preset = get_preset(f"densenet-{depth}")
    family = get_family(preset.genotype.family)
    plan = family.resolve(preset.genotype, num_classes=1000)
    network = family.build(plan).eval()
    network.load_state_dict(inflate(plan, state, source=TORCHVISION))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = peer(images)
        scale = expected.abs().max()
        found = network(images.unsqueeze(2)) / scale
        torch.testing.assert_close(found, expected / scale, rtol=0, atol=1e-5)
