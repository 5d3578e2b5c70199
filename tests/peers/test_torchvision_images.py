"""torchvision's image networks, inflated: a still video gives what the image gives there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from expand3d.networks import get_family, get_preset
from expand3d.networks.weights.inflate import inflate

pytestmark = pytest.mark.peers

SIDE = 32
#: Frames that the zeros before and behind a clip of 240 reach in Hara's R3D-18: conv1 of 7 frames;
#: then each stage's four kernels of 3, the first of them, and the pool, with stride 2.
BORDER = {"stem": 2, "res2": 6, "res3": 7, "res4": 7, "res5": 7}


def randomise(peer: nn.Module) -> None:
    for module in peer.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)


def test_an_inflated_resnet_sees_what_the_image_network_sees() -> None:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    peer = resnet18(num_classes=9).eval()
    randomise(peer)
    preset = get_preset("r3d-18-hara")
    family = get_family("r3d")
    genotype = preset.genotype.replace(gamma_t=240, gamma_s=SIDE / 112)
    plan = family.resolve(genotype, num_classes=9)
    network = family.build(plan).eval()
    network.load_state_dict(inflate(plan, peer.state_dict()))
    image = torch.randn(1, 3, SIDE, SIDE)
    stages: dict[str, Tensor] = {}
    with torch.no_grad():
        x = peer.maxpool(peer.relu(peer.bn1(peer.conv1(image))))
        stages["stem"] = x
        for n in (1, 2, 3, 4):
            stages[f"res{n + 1}"] = x = getattr(peer, f"layer{n}")(x)
        y = image.unsqueeze(2).expand(-1, -1, plan.frames, -1, -1)
        for name, expected in stages.items():
            y = getattr(network, name)(y)
            inside = y[:, :, BORDER[name] : -BORDER[name]]
            assert inside.shape[2] > 0
            scale = expected.abs().max()
            wanted = (expected.unsqueeze(2) / scale).expand_as(inside)
            torch.testing.assert_close(inside / scale, wanted, rtol=0, atol=1e-5)


def test_c2d_gives_a_still_video_the_logits_of_resnet_50() -> None:
    """No temporal kernels, so that every frame is as inside the clip."""
    from torchvision.models import resnet50

    torch.manual_seed(0)
    peer = resnet50(num_classes=9).eval()
    randomise(peer)
    preset = get_preset("c2d-8x8-r50")
    family = get_family(preset.genotype.family)
    plan = family.resolve(preset.genotype, num_classes=9)
    network = family.build(plan).eval()
    network.load_state_dict(inflate(plan, peer.state_dict()))
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = peer(image)
        scale = expected.abs().max()
        found = network(image.unsqueeze(2).expand(-1, -1, 4, -1, -1))
        torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("preset", ["i3d", "s3d"])
def test_googlenet_s_weights_all_find_a_place(preset: str) -> None:
    from torchvision.models import googlenet

    state = googlenet(num_classes=9, aux_logits=True, init_weights=False).state_dict()
    family = get_family(preset)
    plan = family.resolve(get_preset(preset).genotype, num_classes=9)
    inflated = inflate(plan, state)
    family.build(plan).load_state_dict(inflated)
    kernels = {
        "conv1.conv.weight": "conv1.conv.weight",
        "conv2.out.conv.weight": "conv3.conv.weight",
        "mixed4.3.b1.out.conv.weight": "inception4d.branch2.1.conv.weight",
        "mixed5.1.b3.out.conv.weight": "inception5b.branch4.1.conv.weight",
    }
    for ours, theirs in kernels.items():
        torch.testing.assert_close(inflated[ours].sum(dim=2), state[theirs])
    assert torch.equal(inflated["head.fc.bias"], state["fc.bias"])
