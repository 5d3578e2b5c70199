"""Published image networks as the start of two-stream networks: equal on one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from expand3d.cli.main import main
from expand3d.core.errors import WeightsError
from expand3d.interop.json_folder import load_export
from expand3d.networks import get_family
from expand3d.networks.families.segments import depth_factors, streams
from expand3d.networks.weights.images import start_from_image
from tests.helpers.image_networks import ResNet, Vgg, stirred, timm_vgg

SIDE, CLASSES = 64, 5
SMALL = {"gamma_s": SIDE / 112, "gamma_w": 1 / 8, "segments": 1}
VGG = {**SMALL, "backbone": 2, "gamma_d": 1, "gamma_w": 1 / 8}


def plan_of(family: str = "tsn", **factors: float) -> Any:
    base = get_family(family).base
    return get_family(family).resolve(base.replace(**factors), num_classes=CLASSES)


def network(plan: Any, state: Any, **more: Any) -> torch.nn.Module:
    found = start_from_image(plan, state, **{"num_classes": None, "seed": 0, **more})
    built = get_family(plan.family).build(plan).eval()
    built.load_state_dict(found.weights)
    return built


@torch.no_grad()
def same(one: torch.nn.Module, image: torch.nn.Module, *, atol: float = 1e-5) -> bool:
    picture = torch.randn(2, 3, SIDE, SIDE)
    return torch.allclose(one(picture[:, :, None]), image(picture), atol=atol)


def resnet(depth: int) -> ResNet:
    depths = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]
    torch.manual_seed(depth)
    image = ResNet(depths, bottleneck=depth == 50, width=8, classes=CLASSES)
    return stirred(image)  # type: ignore[return-value]


def vgg(*, norm: bool) -> Vgg:
    torch.manual_seed(2)
    image = Vgg(norm=norm, width=8, units=512, side=SIDE, classes=CLASSES)
    return stirred(image)  # type: ignore[return-value]


@pytest.mark.parametrize("depth", [18, 50])
def test_a_resnet_of_one_segment_says_what_the_image_network_says(depth: int) -> None:
    image = resnet(depth)
    built = network(plan_of(**{**SMALL, **depth_factors(depth)}), image.state_dict())
    assert same(built, image, atol=1e-4)


@pytest.mark.parametrize("names", ["torchvision", "timm"])
@pytest.mark.parametrize("norm", [False, True])
def test_a_vgg_of_one_segment_says_what_the_image_network_says(names: str, norm: bool) -> None:
    """With BatchNorm or without: what is a network of ours without BatchNorm holds both."""
    image = vgg(norm=norm)
    state = image.state_dict()
    state = timm_vgg(state, SIDE) if names == "timm" else state
    plan = plan_of(**{**VGG, "pooled": 0})
    assert start_from_image(plan, state, num_classes=None, seed=0).codebase == names
    assert same(network(plan, state), image, atol=1e-4)


@pytest.mark.parametrize("norm", [False, True])
@torch.no_grad()
def test_a_vgg_with_averaged_space_has_the_features_of_the_image_network(norm: bool) -> None:
    image = vgg(norm=norm)
    plan = plan_of(**{**VGG, "pooled": 1})
    found = start_from_image(plan, image.state_dict(), num_classes=None, seed=0)
    assert set(found.fresh) == {"head.fc.weight", "head.fc.bias"}
    built = network(plan, image.state_dict())
    x = picture = torch.randn(2, 3, SIDE, SIDE)
    x = picture[:, :, None]
    for name, stage in built.named_children():
        if name != "head":
            x = stage(x)
    assert torch.allclose(x[:, :, 0], image.features(picture), atol=1e-4)


@torch.no_grad()
def test_flow_begins_with_the_mean_over_rgb_in_every_stream() -> None:
    image = resnet(18)
    both = streams("rgb", "flow")
    plan = plan_of("twostream", **{**SMALL, **depth_factors(18), "stack": 4, "streams": both})
    built = network(plan, image.state_dict())
    grey = torch.randn(2, 1, SIDE, SIDE)
    # Eight channels that show the same, where the image has three: three eighths of each.
    rgb, flow = grey.expand(-1, 3, -1, -1), grey.expand(-1, 8, -1, -1)
    said = built.flow(flow[:, :, None] * 3 / 8)
    assert torch.allclose(said, image(rgb), atol=1e-4)
    assert torch.allclose(built.rgb(rgb[:, :, None]), image(rgb), atol=1e-4)


def test_other_classes_draw_the_last_layer_of_every_stream_anew() -> None:
    plan = plan_of("twostream", **{**SMALL, **depth_factors(18)})
    state = resnet(18).state_dict()
    one, two = (start_from_image(plan, state, num_classes=7, seed=seed) for seed in (0, 1))
    assert one.classes == 7 and one.weights["rgb.head.fc.weight"].shape[0] == 7
    assert set(one.fresh) == {
        f"{stream}.head.fc.{leaf}"
        for stream in ("rgb", "centred_flow")
        for leaf in ("weight", "bias")
    }
    differ = {n for n in one.weights if not torch.equal(one.weights[n], two.weights[n])}
    assert differ == {f"{stream}.head.fc.weight" for stream in ("rgb", "centred_flow")}


def test_fusion_and_a_hidden_network_keep_what_an_image_network_lacks() -> None:
    plan = plan_of("fusion", gamma_d=1, gamma_w=1 / 8)
    found = start_from_image(plan, vgg(norm=True).state_dict(), num_classes=None, seed=0)
    assert {name.rpartition(".")[0] for name in found.fresh} == {
        *("head.conv", "head.fc", "second_head.fc")
    }
    hidden = plan_of("hidden_twostream", **{**SMALL, **depth_factors(18)})
    found = start_from_image(hidden, resnet(18).state_dict(), num_classes=None, seed=0)
    assert {name.partition(".")[0] for name in found.fresh} == {"motion"}


def test_what_does_not_fit_is_said() -> None:
    small, deep = resnet(18).state_dict(), resnet(50).state_dict()
    for plan, state, said in (
        (plan_of(**{**SMALL, **depth_factors(34)}), small, "missing: res2.2"),
        (plan_of(**{**SMALL, **depth_factors(18)}), deep, "of another shape"),
        (plan_of(**{**SMALL, **depth_factors(18), "gamma_w": 1 / 4}), small, "of another shape"),
        (plan_of(**VGG), small, "the weights are a ResNet's, and the 2D network is vgg"),
        (
            plan_of(**{**SMALL, "backbone": 3, "gamma_s": 1}),
            small,
            "cnn-m, which neither torchvision nor timm has",
        ),
        (plan_of(**SMALL), {"blocks.0.weight": torch.zeros(1)}, "begin with blocks.0.weight"),
    ):
        with pytest.raises(WeightsError, match=said):
            start_from_image(plan, state, num_classes=None, seed=0)


def test_the_command_imports_a_file_that_trainings_begin_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = ResNet((2, 2, 2, 2), bottleneck=False, width=64, classes=10)
    torch.save(image.state_dict(), tmp_path / "resnet18.pth")
    words = ["import", str(tmp_path / "resnet18.pth"), "--preset", "twostream-r18"]
    words += ["--num-classes", "6", "--out", str(tmp_path / "start")]
    assert main([*words, "--from", "timm"]) == 0
    said = capsys.readouterr().out
    assert "torchvision and timm" in said and "centred-flow: the first convolution" in said
    assert "drawn anew (seed 0): rgb.head.fc.weight" in said
    kept = load_export(tmp_path / "start")
    assert kept.plan.num_classes == 6
    kernel = kept.build().state_dict()["centred_flow.stem.conv.conv.weight"]
    assert torch.equal(kernel[:, 0, 0], image.conv1.weight.mean(dim=1))
    assert main([*words[:-1], str(tmp_path / "other"), "--from", "pyslowfast"]) == 2
    assert "no names of twostream in pyslowfast" in capsys.readouterr().err
