"""Our X3D beside pytorchvideo's `create_x3d`: the same logits, costs and weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from expand3d.interop.pytorchvideo.multipliers import create_x3d_arguments
from expand3d.networks.families.x3d import FAMILY, PRESETS
from expand3d.networks.weights.x3d_names import from_pytorchvideo, module_names, to_pytorchvideo
from tests.helpers.x3d_cases import CASES, Case, genotype_of, plan_of, randomise

pytestmark = pytest.mark.peers

IDENTITY_PRESETS = ("x2d", "x3d-xs", "x3d-s")


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def peer(case: Case) -> nn.Module:
    from pytorchvideo.models.x3d import create_x3d

    return create_x3d(
        input_clip_length=case.frames,
        input_crop_size=case.crop,
        model_num_class=case.classes,
        width_factor=case.width,
        depth_factor=case.depth,
        bottleneck_factor=case.bottleneck,
        head_activation=None,
    ).eval()


def logits(model: nn.Module, case: Case) -> Tensor:
    """Of two clips of coarse noise, which pooling does not average away as it does white noise."""
    generator = torch.Generator().manual_seed(7)
    coarse = torch.randn((2, 3, case.frames, 5, 5), generator=generator)
    clips = nn.functional.interpolate(coarse, size=(case.frames, case.crop, case.crop))
    with torch.no_grad():
        return model(clips)


def assert_equal(got: Tensor, wanted: Tensor) -> None:
    """Within 1e-5 of logits that are worth comparing: of order one, and different per clip."""
    assert (wanted[0] - wanted[1]).abs().max() > 1e-3
    assert 0.1 < wanted.abs().max() < 10
    assert (got - wanted).abs().max() <= 1e-5


@pytest.mark.parametrize("res2_shortcut_bn", [True, False])
def test_our_weights_give_the_same_logits_in_pytorchvideo(
    case: Case, res2_shortcut_bn: bool
) -> None:
    plan = plan_of(case, res2_shortcut_bn=res2_shortcut_bn)
    ours = randomise(FAMILY.build(plan), seed=1)
    theirs = peer(case)
    theirs.load_state_dict(to_pytorchvideo(ours.state_dict(), plan), strict=True)
    assert_equal(logits(theirs, case), logits(ours, case))


def test_the_fold_is_needed() -> None:
    """Without it the shortcut's BatchNorm is lost, and that is far above the tolerance."""
    case = CASES["narrow"]
    plan = plan_of(case, res2_shortcut_bn=True)
    ours = randomise(FAMILY.build(plan), seed=1)
    names = module_names(plan)
    theirs = peer(case)
    known = theirs.state_dict().keys()
    keys = ((key, key.rpartition(".")) for key in ours.state_dict())
    dropped = {
        name: ours.state_dict()[key]
        for key, (module, _, leaf) in keys
        if (name := f"{names[module]}.{leaf}") in known
    }
    theirs.load_state_dict(dropped, strict=True)
    assert (logits(theirs, case) - logits(ours, case)).abs().max() > 1e-3


@pytest.mark.parametrize("res2_shortcut_bn", [True, False])
def test_their_weights_give_the_same_logits_in_ours(case: Case, res2_shortcut_bn: bool) -> None:
    plan = plan_of(case, res2_shortcut_bn=res2_shortcut_bn)
    theirs = randomise(peer(case), seed=2)
    ours = FAMILY.build(plan).eval()
    ours.load_state_dict(from_pytorchvideo(theirs.state_dict(), plan), strict=True)
    assert_equal(logits(ours, case), logits(theirs, case))


def test_parameters_and_fvcore_totals_are_equal(case: Case) -> None:
    from fvcore.nn import FlopCountAnalysis

    theirs = peer(case)
    clip = torch.zeros(1, 3, case.frames, case.crop, case.crop)
    counted = FlopCountAnalysis(theirs, clip).unsupported_ops_warnings(False).total()
    cost = FAMILY.cost(plan_of(case, res2_shortcut_bn=False))
    assert cost.fvcore_flops == counted
    assert cost.params == sum(p.numel() for p in theirs.parameters())


def test_found_arguments_are_the_ones_written_by_hand(case: Case) -> None:
    plan = plan_of(case, res2_shortcut_bn=True)
    found = create_x3d_arguments(plan, genotype_of(case))
    wanted: dict[str, Any] = {
        "input_clip_length": case.frames,
        "input_crop_size": case.crop,
        "model_num_class": case.classes,
        "width_factor": case.width,
        "depth_factor": case.depth,
        "bottleneck_factor": case.bottleneck,
    }
    assert wanted.items() <= found.items()


@pytest.mark.parametrize("name", IDENTITY_PRESETS)
def test_presets_are_the_cases_of_the_same_name(name: str) -> None:
    case = CASES[name]
    preset = FAMILY.resolve(PRESETS[name].genotype, num_classes=case.classes)
    found = create_x3d_arguments(preset, PRESETS[name].genotype)
    assert found["width_factor"] == case.width
    assert found["depth_factor"] == case.depth
    assert (found["input_clip_length"], found["input_crop_size"]) == (case.frames, case.crop)
