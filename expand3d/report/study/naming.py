"""A network's name for people: its clip, and what it has more of than its family's base."""

from __future__ import annotations

from expand3d.core.trial import Candidate
from expand3d.networks import get_family


def network_text(candidate: Candidate) -> str:
    """A network on one line: its clip, and the factors in which it differs from the base."""
    plan, genotype = candidate.plan, candidate.genotype
    base = get_family(genotype.family).base
    factors = " ".join(
        f"{name.removeprefix('gamma_')}={value:.4g}"
        for name, value in genotype.factors.items()
        if name not in ("gamma_t", "gamma_tau", "gamma_s") and value != base[name]
    )
    return f"{plan.frames}x{plan.stride} {plan.crop}px {factors}".rstrip()
