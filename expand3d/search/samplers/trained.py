"""A trained network as a sampler's model is told of it."""

from __future__ import annotations

from dataclasses import dataclass

from expand3d.core.genotype import Genotype


@dataclass(frozen=True)
class Trained:
    """A network with its price and its estimate, `gain`, of which more is better.

    `point` is its place in the sampler's space, where that is no function of the genotype.
    """

    genotype: Genotype
    price: int
    gain: float
    point: tuple[float, ...] | None = None
