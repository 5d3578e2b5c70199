"""Weights of image networks as the start of networks that apply one to every picture of a clip.

ResNets and VGGs are read under torchvision's names and timm's, which call a ResNet's alike. Every
stream begins with them; where a picture is other than RGB, as stacked flow is, the first
convolution's kernels are the mean over RGB for each of its channels (cross-modality, TSN, arXiv
1608.00859, section 3.2). What the image network has no weights for stays as drawn: the classifier
of other classes, a convolution behind fusion, a network that finds flow.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import WeightsError
from expand3d.core.genotype import Plan
from expand3d.networks import get_family
from expand3d.networks.families.backbones import VGG_STAGES, Backbone
from expand3d.networks.weights.convert import BN_EPS, COUNTER, LEAVES, refuse
from expand3d.networks.weights.inflate import RESNET

if TYPE_CHECKING:
    from torch import Tensor

#: The codebases whose image networks are known; torchvision and timm call ResNets alike.
CODEBASES = ("torchvision", "timm")
#: The backbones that have published weights under names that are known here.
KNOWN = ("resnet", "resnet-bottleneck", "vgg")
#: Fully connected layers: theirs, and ours.
_CONNECTED = {
    "classifier.0": "fc6",
    "classifier.3": "fc7",
    "classifier.6": "fc",
    "pre_logits.fc1": "fc6",
    "pre_logits.fc2": "fc7",
    "head.fc": "fc",
    "fc": "fc",
}
#: The first convolution of a ResNet and of a VGG, by our names within a stream.
_FIRST = ("stem.conv.conv.weight", "conv1.0.conv.weight")
#: Parts of a network that an image network holds all weights of.
_TRUNK = re.compile(r"(.*\.)?(stem|res\d|conv\d\.\d+)\..*")


@dataclass(frozen=True)
class Started:
    """A network's weights; `fresh` are the names of those that are drawn. `classes` is its number.

    `codebase` is the one whose names the file has.
    """

    weights: dict[str, Tensor]
    fresh: tuple[str, ...]
    classes: int
    codebase: str


def backbone_of(plan: Plan) -> Backbone | None:
    """The 2D network that a plan applies to pictures; None where it has none."""
    streams = getattr(plan, "streams", ())
    found = getattr(streams[0], "network", None) if streams else getattr(plan, "network", None)
    return found if isinstance(found, Backbone) else None


def start_from_image(
    plan: Plan, state: Mapping[str, Tensor], *, num_classes: int | None, seed: int
) -> Started:
    """The weights of `plan`'s network from those of an image network.

    Without `num_classes` it has the file's classes, where it has its classifier. WeightsError where
    the backbone is another, or where nobody publishes weights of it.
    """
    import torch

    backbone = backbone_of(plan)
    assert backbone is not None, f"{plan.family} has no 2D network"
    if backbone.name not in KNOWN:
        raise WeightsError(
            f"the 2D network is {backbone.name}, which neither torchvision nor timm has; ResNets "
            "and VGGs are known"
        )
    codebase, given = _ours(backbone, state)
    family = get_family(plan.family)
    like = family.build(plan).state_dict()
    inputs = {value.shape[1] for name, value in like.items() if name.endswith("head.fc.weight")}
    theirs = given["fc.weight"].shape if "fc.weight" in given else None
    kept = theirs is not None and theirs[1] in inputs  # the classifier reads the same features
    classes = num_classes or (theirs[0] if theirs and kept else plan.num_classes)
    plan = dataclasses.replace(plan, num_classes=classes)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        fresh = family.build(plan).state_dict()
    found: dict[str, Tensor] = {}
    used: set[str] = set()
    for name, value in fresh.items():
        key = next((key for key in given if name == key or name.endswith(f".{key}")), None)
        if key is None:
            continue
        used.add(key)
        weights = given[key]
        if key in _FIRST:
            weights = _for_channels(weights, value.shape[1], rgb=_reads_rgb(plan, name))
        if key.startswith("fc"):
            layer, their_layer = name.rpartition(".")[0], key.rpartition(".")[0]
            if given[f"{their_layer}.weight"].numel() != fresh[f"{layer}.weight"].numel():
                continue  # of other classes, or of another crop
            weights = weights.reshape(value.shape)
        found[name] = weights
    counters = {n: v for n, v in fresh.items() if n.endswith(COUNTER)}
    drawn = [n for n in fresh if n not in found and n not in counters]
    missing = {n: fresh[n] for n in drawn if _TRUNK.fullmatch(n)}
    unknown = [key for key in given if key not in used and not key.startswith("fc")]
    wanted = {name: tuple(fresh[name].shape) for name in (*found, *missing)}
    refuse(unknown, found, wanted)
    whole = {**fresh, **{name: value.clone() for name, value in found.items()}}
    return Started(whole, tuple(drawn), classes, codebase)


def _for_channels(kernel: Tensor, channels: int, *, rgb: bool) -> Tensor:
    """The first kernel for pictures of so many channels: its own, or its mean over RGB."""
    if rgb and channels == kernel.shape[1]:
        return kernel
    return kernel.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1, -1)


def _reads_rgb(plan: Plan, name: str) -> bool:
    """True where a stream's first convolution reads frames as they are."""
    stream = name.partition(".")[0]
    kinds = {kind.replace("-", "_"): kind for kind in plan.kinds}
    return kinds.get(stream, plan.inputs[0].kind) == "rgb"


def _ours(backbone: Backbone, state: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """The codebase of the names, and the weights under ours within a stream."""
    if RESNET.knows(list(state)):
        _refuse_other(backbone, "resnet", "a ResNet's")
        return "torchvision and timm", _resnet(state)
    if "features.0.weight" in state:
        _refuse_other(backbone, "vgg", "a VGG's")
        codebase = "timm" if "pre_logits.fc1.weight" in state else "torchvision"
        return codebase, _vgg(backbone, state)
    raise WeightsError(
        "these are no weights of a ResNet or VGG under torchvision's or timm's names; they begin "
        f"with {', '.join(sorted(state)[:8])}"
    )


def _refuse_other(backbone: Backbone, begins: str, whose: str) -> None:
    if not backbone.name.startswith(begins):
        raise WeightsError(f"the weights are {whose}, and the 2D network is {backbone.name}")


def _resnet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for name, value in state.items():
        ours = RESNET.rename(name)
        if ours is None:
            raise WeightsError(f"{name} is no name of torchvision's or timm's ResNets")
        if not ours.endswith(COUNTER):
            found[ours.removeprefix("head.")] = _as_clip(value)
    return found


def _vgg(backbone: Backbone, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A VGG with or without BatchNorm for a network with or without it, the same function."""
    depths = backbone.depths or tuple(count for count, _ in VGG_STAGES)
    places = [f"conv{n}.{p}" for n, count in enumerate(depths, 1) for p in range(count)]
    numbers = sorted(
        int(name.split(".")[1])
        for name, value in state.items()
        if name.startswith("features.") and value.ndim == 4
    )
    if len(numbers) != len(places):
        raise WeightsError(
            f"the weights are of a VGG of {len(numbers)} convolutions, and the 2D network has "
            f"{len(places)}"
        )
    found: dict[str, Tensor] = {}
    for number, place in zip(numbers, places, strict=True):
        kernel, bias = (state[f"features.{number}.{leaf}"] for leaf in ("weight", "bias"))
        norm = {leaf: state.get(f"features.{number + 1}.{leaf}") for leaf in LEAVES}
        found |= _unit(place, kernel, bias, norm, normalised=not backbone.units)
    for theirs, ours in _CONNECTED.items():
        if theirs != "fc" and f"{theirs}.weight" in state:
            found |= {f"{ours}.{leaf}": state[f"{theirs}.{leaf}"] for leaf in ("weight", "bias")}
    return found


def _unit(
    place: str, kernel: Tensor, bias: Tensor, norm: Mapping[str, Any], *, normalised: bool
) -> dict[str, Tensor]:
    """A convolution with its bias, or with the BatchNorm that stands in its place."""
    import torch

    weight = _as_clip(kernel)
    if norm["running_var"] is None:
        norm = {
            "weight": torch.ones_like(bias),
            "bias": torch.zeros_like(bias),
            "running_mean": torch.zeros_like(bias),
            "running_var": torch.full_like(bias, 1 - BN_EPS),
        }
    if normalised:  # which has no bias: its mean is less by that
        mean = norm["running_mean"] - bias
        norms = {f"{place}.bn.{leaf}": value for leaf, value in norm.items()}
        return {f"{place}.conv.weight": weight, **norms, f"{place}.bn.running_mean": mean}
    scale = norm["weight"] / (norm["running_var"] + BN_EPS).sqrt()
    shift = norm["bias"] + (bias - norm["running_mean"]) * scale
    return {
        f"{place}.conv.weight": weight * scale.reshape(-1, 1, 1, 1, 1),
        f"{place}.conv.bias": shift,
    }


def _as_clip(value: Tensor) -> Tensor:
    """A 2D kernel as one of a single frame."""
    return value.unsqueeze(2) if value.ndim == 4 else value
