"""Inflation: the weights of a 2D network as the start of a 3D one (arXiv 1705.07750, section 3.1).

A still video then gives what the image gives in the 2D network. Each kernel is repeated over time
and divided by its length in frames, so that it sums to the 2D kernel; a convolution over time alone
that the 2D network lacks (S3D's second halves) becomes the identity, as TF-slim initialises it.

Zeros are what pads time, and they are no still video: a repeated kernel that reaches past an end of
the clip sees less than its whole sum. The equality holds for the frames further inside than all
temporal kernels before them reach, and the mean over all frames in the head is not the image's.
Identities read one frame only; with them it holds everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from expand3d.core.errors import WeightsError
from expand3d.core.genotype import Plan
from expand3d.networks import get_family
from expand3d.networks.families import inception
from expand3d.networks.family import Source
from expand3d.networks.weights import convert as weights

#: torchvision's image ResNets, for the 3D ResNets with a stem of one convolution.
RESNET = Source(
    "torchvision resnet",
    marker=r"layer1\.0\.bn1\.weight",
    rules=(
        (r"conv1\.(.*)", r"stem.conv.conv.\1"),
        (r"bn1\.(.*)", r"stem.conv.bn.\1"),
        *(
            rule
            for n in (1, 2, 3, 4)
            for rule in (
                (rf"layer{n}\.(\d+)\.(conv|bn)(\d)\.(.*)", rf"res{n + 1}.\1.main.conv\3.\2.\4"),
                (rf"layer{n}\.(\d+)\.downsample\.0\.(.*)", rf"res{n + 1}.\1.shortcut.conv.\2"),
                (rf"layer{n}\.(\d+)\.downsample\.1\.(.*)", rf"res{n + 1}.\1.shortcut.bn.\2"),
            )
        ),
        (r"fc\.(.*)", r"head.fc.\1"),
    ),
)
#: torchvision's GoogLeNet, for I3D and S3D. Its pools are padded otherwise than theirs: a start
#: for a training, not the same activations.
GOOGLENET = Source(
    "torchvision googlenet",
    marker=r"inception3a\.branch1\.conv\.weight",
    rules=inception.renamings(
        {"conv1": "conv1", "conv2": "conv2.reduce", "conv3": "conv2.out"},
        [f"inception{n}" for n in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")],
        {
            "branch1": "b0.out",
            r"branch2\.0": "b1.reduce",
            r"branch2\.1": "b1.out",
            r"branch3\.0": "b2.reduce",
            r"branch3\.1": "b2.out",
            r"branch4\.1": "b3.out",
        },
        conv="conv",
        bn="bn",
        classifier="fc",
    ),
    ignored=(r"aux[12]\..*",),
)
IMAGE_SOURCES = (RESNET, GOOGLENET)


def inflate(
    plan: Plan,
    state_2d: Mapping[str, Tensor],
    *,
    source: Source | None = None,
    classifier: bool = True,
) -> dict[str, Tensor]:
    """The state dict of `plan`'s network that does to a still video what `state_2d` does to it.

    `state_2d` holds 2D kernels (4-D), or 3D ones of a single frame as those of the same family's
    network with no temporal kernels, under our names or another codebase's: `source` renames them,
    by default whichever of `IMAGE_SOURCES` knows them. Without `classifier` the last linear layer
    stays as freshly initialised, for other classes. WeightsError where the networks differ in more
    than temporal kernels and identities. R(2+1)D is such a case: a ReLU and another number of
    channels stand between its halves, where the 2D network has neither.
    """
    network = get_family(plan.family).build(plan)
    fresh = network.state_dict()
    wanted = {name: tuple(value.shape) for name, value in fresh.items()}
    given = _renamed(state_2d, wanted, source)
    last = set() if classifier else _classifier(network)
    inflated = {
        name: fresh[name] for name in wanted if name in last or name.endswith(weights.COUNTER)
    }
    inflated |= _identities(network, given)
    for name, value in given.items():
        if name in wanted and name not in last:
            inflated[name] = _over_time(name, value, wanted[name])
    weights.refuse([name for name in given if name not in wanted], inflated, wanted)
    return {name: inflated[name] for name in wanted}


def _renamed(
    state: Mapping[str, Tensor], wanted: Collection[str], source: Source | None
) -> Mapping[str, Tensor]:
    """`state` under our names; what no source knows keeps its name, and will be refused."""
    if source is None and not set(state) <= set(wanted):
        source = next((one for one in IMAGE_SOURCES if one.knows(list(state))), None)
    if source is None:
        return state
    return {
        source.rename(name) or name: value
        for name, value in state.items()
        if not source.ignores(name)
    }


def _classifier(network: nn.Module) -> set[str]:
    """The names of the last linear layer's weight and bias."""
    last = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    return {f"{last}.weight", f"{last}.bias"}


def _identities(network: nn.Module, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the convolutions over time that `given` lacks, with their BatchNorms: x to x."""
    found: dict[str, Tensor] = {}
    for parent, module in network.named_modules():
        conv, norm = getattr(module, "conv", None), getattr(module, "bn", None)
        if not isinstance(conv, nn.Conv3d) or f"{parent}.conv.weight" in given:
            continue
        if conv.kernel_size[0] % 2 and conv.kernel_size[1:] == (1, 1) and _square(conv):
            kernel = torch.zeros_like(conv.weight)
            kernel[:, :, conv.kernel_size[0] // 2, 0, 0] = torch.eye(conv.out_channels)
            found[f"{parent}.conv.weight"] = kernel
            if isinstance(norm, nn.BatchNorm3d):
                for name, value in norm.state_dict().items():
                    found[f"{parent}.bn.{name}"] = value  # mean 0, variance 1, shift 0
                scale = torch.full_like(norm.weight, math.sqrt(1 + norm.eps))
                found[f"{parent}.bn.weight"] = scale
    return found


def _square(conv: nn.Conv3d) -> bool:
    return conv.in_channels == conv.out_channels and conv.groups == 1 and conv.bias is None


def _over_time(name: str, value: Tensor, wanted: tuple[int, ...]) -> Tensor:
    """A 2D kernel repeated over the frames that are wanted, its sum kept; others as they are."""
    if len(wanted) != 5:
        return value.clone()
    kernel = value.unsqueeze(2) if value.ndim == 4 else value
    if kernel.ndim != 5 or kernel.shape[2] != 1:
        raise WeightsError(f"{name} {tuple(value.shape)} is no 2D kernel")
    return (kernel / wanted[2]).expand(-1, -1, wanted[2], -1, -1).contiguous()
