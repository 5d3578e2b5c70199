"""Quantities in which a network's cost is counted, and how amounts of them are written.

Amounts are whole numbers: multiply-adds, parameters, activations, bytes, nanoseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """One kind of cost: `noun` in words, and the `unit` of `scale` that a picture's axis shows.

    `convention` says exactly what is counted.
    """

    key: str
    noun: str
    convention: str
    unit: str
    scale: float

    def text(self, amount: float) -> str:
        """An amount with a unit, such as '0.605 GMACs', '3.794 Mparams' or '24.3 ms'."""
        if self.key == "macs":
            return format_macs(amount)
        if self.key == "memory":
            return f"{amount / 2**20:.4g} MiB" if amount < 2**30 else f"{amount / 2**30:.4g} GiB"
        if self.key == "latency":
            return f"{amount / 1e6:.3g} ms"
        return f"{amount / 1e6:.4g} {self.unit}"

    @property
    def axis(self) -> str:
        """The label of a picture's axis."""
        return f"{self.unit} per clip ({self.convention})"


MACS = Quantity(
    "macs", "multiply-adds", "multiply-adds of conv + linear at the training crop", "GMACs", 1e9
)
PARAMS = Quantity("params", "parameters", "every learned number", "Mparams", 1e6)
ACTIVATIONS = Quantity(
    "activations",
    "activations",
    "elements of all convolution outputs, one clip at the training crop",
    "Mactivations",
    1e6,
)
MEMORY = Quantity(
    "memory",
    "bytes of memory",
    "predicted peak of inference, one clip in float32: "
    "parameters and 3 times the largest layer's output",
    "MiB",
    2**20,
)
LATENCY = Quantity(
    "latency",
    "milliseconds",
    "median of measured forward passes, batch 1, eval mode, after a warm-up",
    "ms",
    1e6,
)
QUANTITIES: Mapping[str, Quantity] = {
    quantity.key: quantity for quantity in (MACS, PARAMS, ACTIVATIONS, MEMORY, LATENCY)
}


def format_macs(macs: float) -> str:
    """Multiply-adds with a unit: '0.605 GMACs', '20.66 MMACs', '512 MACs'."""
    if macs >= 1e8:
        return f"{macs / 1e9:.3f} GMACs"
    if macs >= 1e5:
        return f"{macs / 1e6:.2f} MMACs"
    return f"{macs:.0f} MACs"
