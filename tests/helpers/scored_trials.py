"""Trials made of chosen scores, without any training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expand3d.core.genotype import Genotype
from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.networks import get_family


def candidate_of(genotype: Genotype | None = None, **fields: Any) -> Candidate:
    """A candidate of a genotype, by default X2D's."""
    family = get_family("x3d")
    genotype = genotype or family.base
    plan = family.resolve(genotype, num_classes=6)
    known = {"macs": family.cost(plan).macs, "step": 0, "axis": None, **fields}
    return Candidate(genotype, plan, **known)


def trial_of(
    right: Sequence[int] = (1, 0),
    nll: Sequence[float] | None = None,
    *,
    number: int = 0,
    candidate: Candidate | None = None,
    groups: Sequence[str | None] | None = None,
    labels: Sequence[int] | None = None,
    first: int = 0,
) -> Trial:
    """A complete trial of one training: a clip each of `right` (top-1) and `nll`."""
    nlls = nll if nll is not None else [1.0 - r for r in right]
    named = groups if groups is not None else [None] * len(right)
    classes = labels if labels is not None else [0] * len(right)
    scores = tuple(
        ClipScore(f"clip{first + i}", c, 0 if r else 3, n, g)
        for i, (r, n, g, c) in enumerate(zip(right, nlls, named, classes, strict=True))
    )
    training = Training("ok", None, scores, 0, 0, 0.0, 0)
    chosen = candidate or candidate_of()
    return Trial(number, "complete", chosen, {"macs": chosen.macs}, {TrainingKey(): training})
