"""Weights of pytorchvideo's SlowFast networks in ours: the same logits from the same frames."""

from __future__ import annotations

import pytest
import torch

from expand3d.networks import get_family, get_preset
from expand3d.networks.weights.convert import convert

pytestmark = pytest.mark.peers

#: pytorchvideo's builder, our preset, alpha and frames; crops are small, as time is short.
NETWORKS = [
    ("slowfast_r50", "slowfast-8x8-r50", 4, 32),
    ("slowfast_r101", "slowfast-8x8-r101-all", 4, 32),
    ("slowfast_16x8_r101_50_50", "slowfast-16x8-r101", 4, 64),
]


@pytest.mark.parametrize(
    ("theirs", "ours", "alpha", "frames"), NETWORKS, ids=[network[0] for network in NETWORKS]
)
def test_logits_are_equal(theirs: str, ours: str, alpha: int, frames: int) -> None:
    from pytorchvideo.models.hub import slowfast

    torch.manual_seed(0)
    peer = getattr(slowfast, theirs)(model_num_class=11, head_pool=torch.nn.AdaptiveAvgPool3d)
    peer.eval()
    for module in peer.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
    preset = get_preset(ours)
    family = get_family(preset.genotype.family)
    plan = family.resolve(preset.genotype, num_classes=11)
    network = family.build(plan).eval()
    network.load_state_dict(convert(plan, peer.state_dict()))
    clips = torch.randn(1, 3, frames, 64, 64)
    slow = torch.linspace(0, frames - 1, frames // alpha).long()
    with torch.no_grad():
        expected = peer([clips[:, :, slow], clips.clone()])
        scale = expected.abs().max()
        torch.testing.assert_close(network(clips) / scale, expected / scale, rtol=0, atol=1e-5)
