"""Weights that trainings begin with: those of an exported network, remapped to each candidate."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from expand3d.core.errors import WeightsError
from expand3d.core.genotype import Plan

if TYPE_CHECKING:
    from expand3d.networks.weights.remap import Remapped


def hash_of(file: Path) -> str:
    """16 hex digits of a file's content."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Initial:
    """A safetensors file under our names, the network that it is of, and its content's hash.

    `classes` are the names of its classes, () where nobody knows them. `clips` are hashes of the
    clips that trained it.
    """

    file: Path
    plan: Plan
    sha: str
    classes: tuple[str, ...] = ()
    clips: frozenset[str] = field(default=frozenset(), repr=False)

    def start(self, plan: Plan, *, seed: int, classes: Sequence[str]) -> Remapped:
        """The weights that `plan`'s network begins with; what is new is drawn from `seed`.

        The last layer is kept where its classes have the names `classes`, else drawn anew.
        WeightsError where the file is another one than it was, or cannot be remapped.
        """
        import torch

        from expand3d.networks.weights.kept import read_weights
        from expand3d.networks.weights.remap import remapped

        try:
            content = self.file.read_bytes()
        except OSError as error:
            raise WeightsError(f"{self.file} cannot be read: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest()[:16] != self.sha:
            raise WeightsError(f"{self.file} holds other weights than when the study began")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            same = bool(self.classes) and self.classes == tuple(classes)
            return remapped(self.plan, read_weights(self.file, content), plan, classifier=same)

    def refuse_seen(self, held_out: Collection[str]) -> None:
        """WeightsError where one of the clips with these hashes trained the weights."""
        seen = len(self.clips & set(held_out))
        if seen:
            raise WeightsError(
                f"{self.file} was trained on {seen} of the clips that this study chooses or tests "
                "by: its scores would be of clips that the networks have seen"
            )
