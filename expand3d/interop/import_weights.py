"""Published weights of other codebases as a folder that every command here reads."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from expand3d.core.errors import WeightsError
from expand3d.core.genotype import Genotype
from expand3d.interop.formats import export
from expand3d.interop.network import ExportedNetwork
from expand3d.networks import get_family


def import_weights(
    file: Path,
    genotype: Genotype,
    *,
    out: Path,
    num_classes: int,
    inflated: bool = False,
    force: bool = False,
) -> list[Path]:
    """Write the network of `genotype` with the weights in `file` into `out`; the paths written.

    `file` holds the state dict of a codebase whose names the family knows. With `inflated` it is
    that of a 2D network (`networks.weights.inflate`). WeightsError lists names that are unknown or
    missing.
    """
    from safetensors.torch import save_file

    from expand3d.networks.weights.convert import convert, read
    from expand3d.networks.weights.inflate import inflate

    plan = get_family(genotype.family).resolve(genotype, num_classes=num_classes)
    state = read(file)
    try:
        weights = inflate(plan, state) if inflated else convert(plan, state)
    except WeightsError as error:
        raise WeightsError(f"{file}: {error}") from None
    with tempfile.TemporaryDirectory(prefix="expand3d-weights-") as scratch:
        ours = Path(scratch) / "weights.safetensors"
        save_file({name: value.contiguous() for name, value in weights.items()}, ours)
        network = ExportedNetwork(
            study=file.name,
            trial=0,
            genotype=genotype,
            plan=plan,
            recipe={},
            provenance={
                "made_by": "inflation, arXiv 1705.07750" if inflated else "renaming",
                "file": str(file),
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            },
            weights=ours,
        )
        return export(network, target="json", out=out, force=force)
