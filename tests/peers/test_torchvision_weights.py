"""Weights of torchvision's video networks in ours: the same logits."""

from __future__ import annotations

import pytest
import torch

from expand3d.networks import get_family, get_preset
from expand3d.networks.weights.convert import convert
from tests.helpers.batch_norms import draw

pytestmark = pytest.mark.peers

#: torchvision's builder, our preset, and the clip (frames, side): small, as time is short.
NETWORKS = [
    ("r3d_18", "r3d-18", (8, 64)),
    ("mc3_18", "mc3-18", (8, 64)),
    ("r2plus1d_18", "r2plus1d-18-torchvision", (8, 64)),
    ("s3d", "s3d-torchvision", (16, 224)),  # it reads nothing smaller than 14 x 224
]


@pytest.mark.parametrize(("theirs", "ours", "clip"), NETWORKS, ids=[n[0] for n in NETWORKS])
def test_logits_are_equal(theirs: str, ours: str, clip: tuple[int, int]) -> None:
    from torchvision.models import video

    torch.manual_seed(0)
    peer = getattr(video, theirs)(num_classes=11).eval()
    draw(peer)
    preset = get_preset(ours)
    family = get_family(preset.genotype.family)
    plan = family.resolve(preset.genotype, num_classes=11)
    network = family.build(plan).eval()
    network.load_state_dict(convert(plan, peer.state_dict()))
    frames, side = clip
    clips = torch.randn(2, 3, frames, side, side)
    with torch.no_grad():
        expected = peer(clips)
        scale = expected.abs().max()
        torch.testing.assert_close(network(clips) / scale, expected / scale, rtol=0, atol=1e-5)
