"""Budgets as people write them, read as multiply-adds; and multiply-adds as people read them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from expand3d.errors import BudgetError

CONVENTION = "multiply-adds (conv + linear, one clip, train crop; the X3D paper's FLOPs)"
EXAMPLE = "write it like 4GFLOPs, 600M or 0.5 GMACs"

_PREFIXES = {"": 0, "K": 3, "M": 6, "G": 9, "T": 12}
_PATTERN = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?)"
    r"\s*(?P<prefix>[kmgt]?)\s*(?P<noun>flops?|macs?)?",
    re.IGNORECASE,
)
#: A number without K, M, G or T must be this large: nobody means a network of 4 multiply-adds.
_LEAST_BARE = 10**6
_MOST = 10**18


@dataclass(frozen=True)
class Budget:
    """A cost ceiling: `macs` multiply-adds, the `text` it was read from, the `convention` line."""

    macs: int
    text: str
    convention: str


def parse_budget(text: str) -> Budget:
    """The budget in `text`, in multiply-adds; FLOPs and MACs mean the same, as in the X3D paper.

    Any case, with K, M, G or T. BudgetError shows an example where the text is no such number.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise BudgetError(f"budget = {text!r} is not a number of multiply-adds; {EXAMPLE}")
    prefix = match["prefix"].upper()
    exact = Decimal(match["number"]).scaleb(_PREFIXES[prefix])
    if exact <= 0:
        raise BudgetError(f"budget = {text!r} must be more than 0; {EXAMPLE}")
    if exact > _MOST:
        raise BudgetError(f"budget = {text!r} is beyond any network; {EXAMPLE}")
    if not prefix and exact < _LEAST_BARE:
        raise BudgetError(
            f"budget = {text!r} has no unit and would be {exact:f} multiply-adds; "
            f"did you mean {match['number']}GFLOPs?"
        )
    macs = int(exact)
    if macs < 1:
        raise BudgetError(f"budget = {text!r} is less than one multiply-add; {EXAMPLE}")
    written = f"{match['number']} {prefix}{match['noun'] or ''}".strip()
    return Budget(macs, text.strip(), f"{written} = {macs / 1e9:.3f} G {CONVENTION}")


def format_macs(macs: float) -> str:
    """Multiply-adds with a unit: '0.605 GMACs', '20.66 MMACs', '512 MACs'."""
    if macs >= 1e8:
        return f"{macs / 1e9:.3f} GMACs"
    if macs >= 1e5:
        return f"{macs / 1e6:.2f} MMACs"
    return f"{macs:.0f} MACs"
