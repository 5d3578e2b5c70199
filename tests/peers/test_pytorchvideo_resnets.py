"""Weights of pytorchvideo's ResNets in ours: the same logits."""

from __future__ import annotations

import pytest
import torch

from expand3d.core.errors import WeightsError
from expand3d.networks import get_family, get_preset
from expand3d.networks.weights.convert import convert
from tests.helpers.batch_norms import draw

pytestmark = pytest.mark.peers

#: pytorchvideo's builder, and our preset.
NETWORKS = [
    ("slow_r50", "slowonly-8x8-r50"),
    ("c2d_r50", "c2d-8x8-r50"),
    ("i3d_r50", "i3d-8x8-r50"),
    ("csn_r101", "ir-csn-101"),
    ("r2plus1d_r50", "r2plus1d-50-pytorchvideo"),
]


def peer_network(name: str) -> torch.nn.Module:
    """pytorchvideo's network with drawn BatchNorms, classifying the mean of whatever it reads."""
    from pytorchvideo.models import hub

    network = getattr(hub, name)(pretrained=False, model_num_class=11).eval()
    network.blocks[-1].pool = torch.nn.AdaptiveAvgPool3d(1)  # built for clips of one size
    network.blocks[-1].activation = None  # r2plus1d_r50 gives probabilities
    draw(network)
    return network


@pytest.mark.parametrize(("theirs", "ours"), NETWORKS, ids=[n[0] for n in NETWORKS])
def test_logits_are_equal(theirs: str, ours: str) -> None:
    torch.manual_seed(0)
    peer, preset = peer_network(theirs), get_preset(ours)
    family = get_family(preset.genotype.family)
    plan = family.resolve(preset.genotype, num_classes=11)
    network = family.build(plan).eval()
    network.load_state_dict(convert(plan, peer.state_dict()))
    clips = torch.randn(2, 3, 8, 64, 64)
    with torch.no_grad():
        expected = peer(clips)
        scale = expected.abs().max()
        torch.testing.assert_close(network(clips) / scale, expected / scale, rtol=0, atol=1e-5)


def test_weights_of_another_network_are_refused_with_the_names_that_do_not_fit() -> None:
    preset = get_preset("slowonly-8x8-r50")
    plan = get_family("slowonly").resolve(preset.genotype, num_classes=11)
    with pytest.raises(WeightsError, match=r"of another shape: .*res5\.0\.main\.conv1"):
        convert(plan, peer_network("c2d_r50").state_dict())
