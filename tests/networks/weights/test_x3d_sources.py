"""X3D's weights under the names that pytorchvideo and PySlowFast print, written out by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from expand3d.core.errors import WeightsError
from expand3d.networks.families.x3d import FAMILY, PRESETS, X3DPlan
from expand3d.networks.weights.checkpoint import read
from expand3d.networks.weights.convert import convert
from expand3d.networks.weights.remap import remap
from tests.helpers.networks import SMALL, logits, randomised

State = Mapping[str, Tensor]

#: The leaves of each part of a block, in the order of ours below.
PARTS = (
    *("shortcut", "shortcut_bn", "expand", "expand_bn", "channelwise", "channelwise_bn"),
    *("se.squeeze", "se.excite", "project", "project_bn"),
)
TORCHVIDEO = (
    *("branch1_conv", "branch1_norm", "branch2.conv_a", "branch2.norm_a", "branch2.conv_b"),
    *("branch2.norm_b.0", "branch2.norm_b.1.block.0", "branch2.norm_b.1.block.2"),
    *("branch2.conv_c", "branch2.norm_c"),
)
SLOWFAST = (
    *("branch1", "branch1_bn", "branch2.a", "branch2.a_bn", "branch2.b", "branch2.b_bn"),
    *("branch2.se.fc1", "branch2.se.fc2", "branch2.c", "branch2.c_bn"),
)
ENDS = ("stem.spatial", "stem.temporal", "stem.bn", "head.conv5", "head.bn", "head.lin5", "head.fc")
TORCHVIDEO_ENDS = (
    *("blocks.0.conv.conv_t", "blocks.0.conv.conv_xy", "blocks.0.norm"),
    *("blocks.5.pool.pre_conv", "blocks.5.pool.pre_norm", "blocks.5.pool.post_conv"),
    "blocks.5.proj",
)
SLOWFAST_ENDS = (
    *("s1.pathway0_stem.conv_xy", "s1.pathway0_stem.conv", "s1.pathway0_stem.bn"),
    *("head.conv_5", "head.conv_5_bn", "head.lin_5", "head.projection"),
)


def renamed(state: State, ends: tuple[str, ...], parts: tuple[str, ...], block: str) -> State:
    found = {}
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        if module in ENDS:
            theirs = ends[ENDS.index(module)]
        else:
            stage, number, part = module.split(".", 2)
            place = block.format(stage=int(stage[3:]), before=int(stage[3:]) - 1, number=number)
            theirs = f"{place}.{parts[PARTS.index(part)]}"
        found[f"{theirs}.{leaf}"] = value
    return found


def as_torchvideo(state: State) -> State:
    """Without the BatchNorm that pytorchvideo does not have."""
    kept = {name: value for name, value in state.items() if not name.startswith(ABSENT)}
    block = "blocks.{before}.res_blocks.{number}"
    return renamed(kept, TORCHVIDEO_ENDS, TORCHVIDEO, block)


def as_slowfast(state: State) -> State:
    return renamed(state, SLOWFAST_ENDS, SLOWFAST, "s{stage}.pathway0_res{number}")


ABSENT = "res2.0.shortcut_bn."
CODEBASES = pytest.mark.parametrize("theirs", [as_torchvideo, as_slowfast])


def neutral(network: nn.Module) -> nn.Module:
    """With the BatchNorm that pytorchvideo lacks as if it were not there."""
    norm = network.get_submodule("res2.0.shortcut_bn")
    assert isinstance(norm, nn.BatchNorm3d)
    norm.reset_running_stats()
    nn.init.constant_(norm.weight, (1 + norm.eps) ** 0.5)
    nn.init.zeros_(norm.bias)
    return network


def small() -> X3DPlan:
    return FAMILY.resolve(SMALL, num_classes=6)


@CODEBASES
def test_their_weights_give_the_same_logits(theirs: Callable[[State], State]) -> None:
    network = neutral(randomised(small()))
    ours = FAMILY.build(small()).eval()
    ours.load_state_dict(convert(small(), theirs(network.state_dict())))
    assert (logits(ours, small()) - logits(network, small())).abs().max() < 1e-5


@CODEBASES
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "model._orig_mod.module."])
def test_prefixes_of_wrappers_are_left_out(
    theirs: Callable[[State], State], prefix: str, tmp_path: Path
) -> None:
    state = theirs(randomised(small()).state_dict())
    wrapped = {f"{prefix}{name}": value for name, value in state.items()}
    torch.save({"model_state": wrapped, "epoch": 3}, tmp_path / "theirs.pyth")
    found = read(tmp_path / "theirs.pyth")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())


@CODEBASES
def test_another_number_of_classes_says_which(theirs: Callable[[State], State]) -> None:
    state = theirs(randomised(small()).state_dict())
    other = FAMILY.resolve(SMALL, num_classes=400)
    with pytest.raises(WeightsError, match=r"6 classes, not 400: .*--num-classes 6"):
        convert(other, state)


@CODEBASES
def test_another_missing_norm_is_missing(theirs: Callable[[State], State]) -> None:
    state = dict(randomised(small()).state_dict())
    for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        del state[f"res3.0.shortcut_bn.{leaf}"]
    with pytest.raises(WeightsError, match=r"missing: res3\.0\.shortcut_bn"):
        convert(small(), theirs(state))


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"PK\x03\x04 broken"])
def test_an_empty_or_broken_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "theirs.pyth"
    file.write_bytes(content)
    with pytest.raises(WeightsError) as refused:
        read(file)
    assert str(file) in str(refused.value) and "\n" not in str(refused.value)


def test_a_file_without_weights_says_so(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "theirs.pyth")
    with pytest.raises(WeightsError, match="holds no weights"):
        read(tmp_path / "theirs.pyth")


@CODEBASES
@pytest.mark.parametrize("preset", ["x3d-s", pytest.param("x3d-m", marks=pytest.mark.slow)])
def test_the_published_networks_start_smaller_and_larger_ones(
    theirs: Callable[[State], State], preset: str
) -> None:
    """X3D-S and M of 400 classes start a base of the expansion, and one wider and deeper."""
    published = FAMILY.resolve(PRESETS[preset].genotype)
    state = convert(published, theirs(neutral(randomised(published)).state_dict()))
    base = FAMILY.resolve(FAMILY.base, num_classes=6)
    network = FAMILY.build(base)
    network.load_state_dict(remap(published, state, base))
    network(torch.randn(2, 3, 1, 64, 64)).square().sum().backward()
    assert all(each.grad is not None for each in network.parameters())
    larger = FAMILY.resolve(PRESETS[preset].genotype.replace(gamma_d=2.6, gamma_w=1.2, gamma_s=0.5))
    clip = torch.randn(2, 3, 4, 56, 56)
    with torch.no_grad():
        outputs = []
        for plan, weights in ((published, state), (larger, remap(published, state, larger))):
            network = FAMILY.build(plan).eval()
            network.load_state_dict(weights)
            outputs.append(network(clip))
    assert (outputs[0] - outputs[1]).abs().max() < 1e-4 * outputs[0].abs().max()
