"""Weights of other codebases as a folder that every command here reads."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import WeightsError
from expand3d.core.genotype import Genotype
from expand3d.interop.formats import export, refuse_occupied
from expand3d.interop.json_folder import load_export
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.network_file import NETWORK
from expand3d.networks import get_family

if TYPE_CHECKING:
    from torch import Tensor

    from expand3d.networks.weights.checkpoint import Checkpoint

#: Where the numbers of an imported network come from, in its provenance.
IMPORTED = "imported"


@dataclass(frozen=True)
class Imported:
    """The files that were written, and what a person should know of them, a line each."""

    files: list[Path]
    notes: tuple[str, ...]


def weights_in(path: Path) -> Path:
    """The file of weights that `path` is, or that lies in the folder `path` as `weights.*`."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise WeightsError(f"{path}: there is no such file")
    found = sorted(path.glob("weights.*"))
    if not found:
        raise WeightsError(
            f"{path} holds no file weights.*: an export without weights, or no export"
        )
    if len(found) > 1:
        raise WeightsError(f"{path} holds {', '.join(each.name for each in found)}: say which")
    return found[0]


def of_genotype(genotype: Genotype, *, name: str, num_classes: int) -> ExportedNetwork:
    """The network of the file called `name`, of which no more is known."""
    plan = get_family(genotype.family).resolve(genotype, num_classes=num_classes)
    return ExportedNetwork(study=name, trial=0, genotype=genotype, plan=plan, recipe={})


def described(file: Path) -> ExportedNetwork | None:
    """The network of the network.json that an export wrote beside its weights; None without."""
    beside = file.parent / NETWORK
    return load_export(beside) if beside.is_file() else None


def import_weights(
    file: Path,
    network: ExportedNetwork,
    *,
    out: Path,
    num_classes: int | None = None,
    codebase: str | None = None,
    inflated: bool = False,
    averaged: bool | None = None,
    seed: int = 0,
    force: bool = False,
) -> Imported:
    """Write `network` with the weights in `file` into the folder `out`, as target `json` does.

    `file` holds the state dict of a codebase whose names the family knows: of `codebase`, where it
    is given. Its number of classes becomes the network's; of another `num_classes` the last layer
    is drawn from `seed`. With `inflated` it is that of a 2D network (`networks.weights.inflate`).
    `averaged` takes the moving average that a training kept beside its weights. WeightsError lists
    names that are unknown or missing.
    """
    from safetensors.torch import save_file

    from expand3d.networks.weights.checkpoint import checkpoint

    refuse_occupied(out, force=force)
    held = checkpoint(file)
    try:
        state = held.chosen(averaged=averaged)
        if inflated:
            weights, fitting, notes = _inflated(network, state, num_classes)
        else:
            weights, fitting, notes = _renamed(network, state, num_classes, codebase, seed)
    except WeightsError as error:
        raise WeightsError(f"{file}: {error}") from None
    with tempfile.TemporaryDirectory(prefix="expand3d-weights-") as scratch:
        ours = Path(scratch) / "weights.safetensors"
        save_file({name: value.contiguous() for name, value in weights.items()}, ours)
        made = {
            "made_by": "inflation, arXiv 1705.07750" if inflated else "renaming",
            "file": str(file),
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        whole = dataclasses.replace(
            fitting, weights=ours, provenance=_origin(fitting.provenance, made)
        )
        files = export(whole, target="json", out=out, force=force)
    return Imported(files, (*notes, *_of_averages(held, averaged)))


Fitted = tuple[Mapping[str, "Tensor"], ExportedNetwork, tuple[str, ...]]


def _inflated(
    network: ExportedNetwork, state: Mapping[str, Tensor], num_classes: int | None
) -> Fitted:
    from expand3d.networks.weights.inflate import inflate

    fitting = _with_classes(network, num_classes or network.plan.num_classes)
    return inflate(fitting.plan, state), fitting, ()


def _renamed(
    network: ExportedNetwork,
    state: Mapping[str, Tensor],
    num_classes: int | None,
    codebase: str | None,
    seed: int,
) -> Fitted:
    """The weights under our names, the network that they fit, and notes."""
    import torch

    from expand3d.networks.weights.convert import BN_EPS, recognise
    from expand3d.networks.weights.images import CODEBASES, backbone_of

    of_pictures = backbone_of(network.plan) is not None
    if of_pictures and codebase in CODEBASES:
        return _of_image(network, state, num_classes, codebase, seed)
    try:
        found = recognise(network.plan, state, codebase=codebase)
    except WeightsError:
        if of_pictures and codebase is None and state.keys() != _names(network):
            return _of_image(network, state, num_classes, codebase, seed)
        raise
    fitting = _with_classes(network, found.classes)
    notes = [f"names: {found.codebase or 'ours'}; {found.classes} classes"]
    weights = dict(found.weights)
    if found.eps != BN_EPS and not network.provenance:  # an export of ours says our eps there
        weights = found.as_published()
        notes.append(
            f"its BatchNorms add {found.eps:g} to a variance and ours {BN_EPS:g}: the difference "
            "is in the running variances now"
        )
    if num_classes in (None, found.classes):
        return weights, fitting, tuple(notes)
    assert num_classes is not None
    other = _with_classes(network, num_classes)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        fresh = get_family(other.plan.family).build(other.plan).state_dict()
    # The plan may have had either number of classes: compare with what is wanted now.
    head = [name for name, value in fresh.items() if value.shape != weights[name].shape]
    weights |= {name: fresh[name] for name in head}
    notes.append(
        f"the last layer had {found.classes} classes: {', '.join(head)} drawn anew for "
        f"{num_classes} (seed {seed}); all else is kept"
    )
    return weights, other, tuple(notes)


def _names(network: ExportedNetwork) -> Collection[str]:
    """Our names of its weights."""
    return get_family(network.plan.family).build(network.plan).state_dict().keys()


def _of_image(
    network: ExportedNetwork,
    state: Mapping[str, Tensor],
    num_classes: int | None,
    codebase: str | None,
    seed: int,
) -> Fitted:
    """The same where the file is of the image network that all pictures pass."""
    from expand3d.networks.weights.images import start_from_image

    found = start_from_image(network.plan, state, num_classes=num_classes, seed=seed)
    if codebase is not None and codebase not in found.codebase:
        raise WeightsError(f"the names are not {codebase}'s but {found.codebase}'s")
    notes = [f"names: those of an image network in {found.codebase}; {found.classes} classes"]
    motion = [kind for kind in network.plan.kinds if kind != "rgb"]
    if motion:
        notes.append(f"{', '.join(motion)}: the first convolution is the mean over RGB")
    if found.fresh:
        notes.append(f"not in the file, drawn anew (seed {seed}): {', '.join(found.fresh)}")
    return found.weights, _with_classes(network, found.classes), tuple(notes)


def _with_classes(network: ExportedNetwork, classes: int) -> ExportedNetwork:
    """The network of that many classes, whose names are known only where their number stays."""
    if network.plan.num_classes == classes:
        return network
    plan = dataclasses.replace(network.plan, num_classes=classes)
    return dataclasses.replace(network, plan=plan, classes=(), scores={})


def _origin(known: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of an imported network: where it is known already, that and the file."""
    return {**known, IMPORTED: dict(made)} if known else dict(made)


def _of_averages(held: Checkpoint, averaged: bool | None) -> tuple[str, ...]:
    """A line where the file has a moving average, about which of the two was taken."""
    if held.averaged is None:
        return ()
    if averaged or (averaged is None and held.weights is None):
        return ("the moving average of the weights was taken",)
    return ("it holds a moving average of the weights too, which was left; --averaged takes it",)
