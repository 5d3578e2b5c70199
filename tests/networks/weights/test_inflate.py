"""Inflation: a still video gives in the 3D network what the image gives in the 2D one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from expand3d.core.errors import WeightsError
from expand3d.core.genotype import Plan
from expand3d.networks import get_family
from expand3d.networks.weights.inflate import inflate
from tests.helpers import inception_by_hand as by_hand

CLASSES = 6
#: How many frames at the start and at the end of a clip of 120 see the zeros that pad time, behind
#: each stage. conv1 (7 frames, stride 2, 2 and 3 zeros): 1 and 2. Each kernel of 3: one more; so
#: conv2 (2, 3) and two blocks (4, 5). A pool of 3 at stride 2, zero at the end: 2 and 3, and five
#: blocks (7, 8). A pool of 2 at stride 2: 4 and 4, and two blocks (6, 6).
BORDER = {"conv1": (1, 2), "conv2": (2, 3), "mixed3": (4, 5), "mixed4": (7, 8), "mixed5": (6, 6)}
FRAMES = 120


def narrow(family: str, frames: int, classes: int = CLASSES, **factors: float) -> Plan:
    """All nine blocks, an eighth as wide."""
    chosen = get_family(family)
    genotype = chosen.base.replace(gamma_t=frames, gamma_d=1, gamma_s=48 / 112, **factors)
    return chosen.resolve(genotype, num_classes=classes)


def image_weights() -> dict[str, Tensor]:
    """Random 4-D kernels and BatchNorm statistics under our names."""
    torch.manual_seed(0)
    plan = narrow("i3d", 1)
    state = get_family("i3d").build(plan).state_dict()
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "bn.bias", "fc.bias")):
            value.normal_(std=0.1)
        elif name.endswith("bn.weight"):
            value.uniform_(0.5, 1.5)
    assert all(value.shape[2] == 1 for value in state.values() if value.ndim == 5)
    return {name: v.squeeze(2) if v.ndim == 5 else v for name, v in state.items()}


def our_names(place: str) -> tuple[str, str]:
    """Our names of by_hand's places."""
    unit = {"1a": "conv1", "2b": "conv2.reduce", "2c": "conv2.out"}.get(place)
    if unit is None:
        block, _, branch = place.partition(".")
        part = "reduce" if branch.endswith("a") else "out"
        unit = f"mixed{block[0]}.{'bcdef'.index(block[1])}.{branch[:2]}.{part}"
    return f"{unit}.conv", f"{unit}.bn"


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return image_weights()


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def expected(weights: dict[str, Tensor], image: Tensor) -> dict[str, Tensor]:
    """The outcome of plain 2D functions on the image."""
    return by_hand.stages(weights, image, our_names)


def still_video(
    plan: Plan, state: dict[str, Tensor], image: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """The stages' activations and the logits of a video of one image."""
    network = get_family(plan.family).build(plan).eval()
    network.load_state_dict(state)
    found: dict[str, Tensor] = {}
    x = image.unsqueeze(2).expand(-1, -1, plan.frames, -1, -1)
    with torch.no_grad():
        for name, stage in network.named_children():
            found[name] = x = stage(x)
    return found, x


def difference(frames: Tensor, image: Tensor) -> float:
    """The largest difference of any frame to the image, relative to the image's largest value."""
    return float((frames - image.unsqueeze(2)).abs().max() / image.abs().max())


def test_inflated_i3d_sees_in_a_still_video_what_the_2d_network_sees(
    weights: dict[str, Tensor], image: Tensor, expected: dict[str, Tensor]
) -> None:
    plan = narrow("i3d", FRAMES, stages_3d=4, stem_reach=3)
    found, _ = still_video(plan, inflate(plan, weights), image)
    for stage, (first, last) in BORDER.items():
        frames = found[stage]
        inside = frames[:, :, first : frames.shape[2] - last]
        assert inside.shape[2] >= 3
        assert difference(inside, expected[stage]) < 1e-5, stage
        # The zeros before and behind the clip do change what lies at its ends.
        assert difference(frames[:, :, [0]], expected[stage]) > 1e-2, stage
        assert difference(frames[:, :, [-1]], expected[stage]) > 1e-2, stage


@pytest.mark.parametrize("frames", [8, 19])
@pytest.mark.parametrize("stem", [0, 1])
def test_inflated_s3d_does_so_in_every_frame_up_to_the_logits(
    weights: dict[str, Tensor],
    image: Tensor,
    expected: dict[str, Tensor],
    frames: int,
    stem: int,
) -> None:
    reach = 3 if stem else 0
    plan = narrow("s3d", frames, stages_3d=4, stem_reach=reach, stem_separable=stem)
    found, logits = still_video(plan, inflate(plan, weights), image)
    for stage in BORDER:
        assert difference(found[stage], expected[stage]) < 1e-5, stage
    mean = expected["mixed5"].mean(dim=(2, 3))
    wanted = mean @ weights["head.fc.weight"].T + weights["head.fc.bias"]
    torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-5)


def test_kernels_are_repeated_and_keep_their_sum(weights: dict[str, Tensor]) -> None:
    plan = narrow("i3d", 8, stages_3d=2)
    state = inflate(plan, weights)
    flat = state["conv2.out.conv.weight"]
    assert torch.equal(flat.squeeze(2), weights["conv2.out.conv.weight"])
    deep = state["mixed4.0.b1.out.conv.weight"]
    assert deep.shape[2:] == (3, 3, 3) and torch.equal(deep[:, :, 0], deep[:, :, 2])
    torch.testing.assert_close(deep.sum(dim=2), weights["mixed4.0.b1.out.conv.weight"])


def test_kernels_of_one_frame_are_2d_kernels(weights: dict[str, Tensor]) -> None:
    flat = {name: v.unsqueeze(2) if v.ndim == 4 else v for name, v in weights.items()}
    plan = narrow("i3d", 8, stages_3d=4, stem_reach=3)
    ours, theirs = inflate(plan, flat), inflate(plan, weights)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_another_number_of_classes_starts_with_a_fresh_classifier(
    weights: dict[str, Tensor],
) -> None:
    plan = narrow("i3d", 8, classes=3)
    with pytest.raises(WeightsError, match=r"head\.fc\.weight \(6, 128\) for \(3, 128\)"):
        inflate(plan, weights)
    state = inflate(plan, weights, classifier=False)
    assert state["head.fc.weight"].shape == (3, 128)
    assert torch.equal(state["conv2.out.conv.weight"].squeeze(2), weights["conv2.out.conv.weight"])


def test_what_is_no_2d_twin_is_refused_by_name(weights: dict[str, Tensor]) -> None:
    plan = narrow("i3d", 8, stages_3d=4)
    deep = inflate(plan, weights)
    with pytest.raises(WeightsError, match=r"conv2\.out\.conv\.weight .* is no 2D kernel"):
        inflate(plan, deep)
    lacking = {name: value for name, value in weights.items() if name != "conv1.conv.weight"}
    with pytest.raises(WeightsError, match=r"1 missing: conv1\.conv\.weight$"):
        inflate(plan, lacking)
    with pytest.raises(WeightsError, match=r"1 unknown: x;"):
        inflate(plan, {"x": torch.zeros(1)})
    wider = narrow("i3d", 8, gamma_w=0.5)
    with pytest.raises(WeightsError, match=r"of another shape: .*conv1\.conv\.weight"):
        inflate(wider, weights)


def test_r2plus1d_is_refused_since_its_halves_meet_behind_a_relu() -> None:
    flat, deep = get_family("r3d"), get_family("r2plus1d")
    state = flat.build(flat.resolve(flat.base.replace(last_3d=0))).state_dict()
    with pytest.raises(WeightsError, match=r"unknown: stem.*missing: stem"):
        inflate(deep.resolve(deep.base), state)


def test_r2d_becomes_r3d() -> None:
    """Another family: f-R2D's kernels over R3D's, whose names are the same."""
    family = get_family("r3d")
    flat = family.resolve(family.base.replace(last_3d=0), num_classes=4)
    deep = family.resolve(family.base, num_classes=4)
    state = family.build(flat).state_dict()
    inflated = inflate(deep, state)
    kernel = "res3.0.main.conv1.conv.weight"
    torch.testing.assert_close(inflated[kernel].sum(dim=2), state[kernel][:, :, 0])
    family.build(deep).load_state_dict(inflated)
