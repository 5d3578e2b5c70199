"""The frozen 2D network that a pretraining learns from: one of ours, or a state dict of another."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import FactorError, WeightsError
from expand3d.core.genotype import Plan, digest
from expand3d.interop.json_folder import NETWORK, load_export
from expand3d.networks import get_family, get_preset
from expand3d.networks.example import example
from expand3d.networks.weights.checkpoint import read

if TYPE_CHECKING:
    from torch import Tensor, nn

    from expand3d.training.tasks.transfer import Teacher

#: How other codebases' image networks want their pixels.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load_teacher(path: Path, *, preset: str | None = None) -> Teacher:
    """The network in `path`, frozen, reading single frames.

    `path` is what `expand3d export --to json` wrote (the folder or a file in it), or a state dict
    (.pt, .pth, .safetensors) of the published network that `preset` names, with 2D kernels or with
    3D ones of a single frame, under our names or those of a codebase that its family knows.
    WeightsError names the file where it holds no weights, or a network that reads no single frame.
    """
    if not path.exists():
        raise WeightsError(f"--teacher {path}: there is no such file")
    if preset is None:
        return _exported(path)
    return _foreign(path, preset)


def _exported(path: Path) -> Teacher:
    folder = path if path.is_dir() else path.parent
    if not (folder / NETWORK).is_file():
        raise WeightsError(
            f"--teacher {path}: there is no {NETWORK} beside it that says which network this is; "
            "name one with --teacher-preset"
        )
    exported = load_export(folder)
    if exported.weights is None:
        raise WeightsError(f"--teacher {path} holds an architecture without weights")
    return _frozen(exported.build(), exported.plan, exported.weights)


def _foreign(path: Path, preset: str) -> Teacher:
    """A state dict as the weights of a published network; its classes are its own."""
    state = _read(path)
    published = get_preset(preset)
    family = get_family(published.genotype.family)
    plan = family.resolve(published.genotype, num_classes=published.num_classes)
    network = family.build(plan)
    ours = set(state) <= set(network.state_dict())
    source = next((one for one in family.sources if one.knows(list(state))), None)
    from expand3d.networks.weights.inflate import inflate

    try:
        network.load_state_dict(inflate(plan, state, source=source, classifier=False))
    except WeightsError as error:
        raise WeightsError(f"--teacher {path} as {preset}: {error}") from None
    pixels: dict[str, Any] = {} if ours else {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    return _frozen(network, plan, path, **pixels)


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        return read(path)
    except WeightsError as error:
        raise WeightsError(f"--teacher {error}") from None


def _frozen(network: nn.Module, plan: Plan, weights: Path, **pixels: Any) -> Teacher:
    """The teacher, once it is known to read a frame; FactorError's words where it does not."""
    import torch

    from expand3d.training.tasks.transfer import Teacher, without_classifier

    network, _, layer = without_classifier(network.eval().requires_grad_(False))
    try:
        with torch.no_grad():
            network(*example(dataclasses.replace(plan, frames=1), 1))
    except FactorError as error:
        raise WeightsError(f"--teacher {weights} reads no single frames: {error}") from None
    sha = hashlib.sha256(weights.read_bytes()).hexdigest()
    return Teacher(network, layer.in_features, plan.crop, digest(plan.to_json(), sha), **pixels)
