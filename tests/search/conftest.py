"""Trials made of chosen scores, without any training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from expand3d.core.genotype import Genotype
from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.networks import get_family

MakeTrial = Callable[..., Trial]


@pytest.fixture
def make_candidate() -> Callable[..., Candidate]:
    """A candidate of a genotype, by default X2D's."""

    def make(genotype: Genotype | None = None, **fields: Any) -> Candidate:
        family = get_family("x3d")
        genotype = genotype or family.base
        plan = family.resolve(genotype, num_classes=6)
        known = {"macs": family.cost(plan).macs, "step": 0, "axis": None, **fields}
        return Candidate(genotype, plan, **known)

    return make


@pytest.fixture
def make_trial(make_candidate: Callable[..., Candidate]) -> MakeTrial:
    """A complete trial: `right` and `nll` per clip, or a list of these per training key."""

    def make(
        right: Sequence[int] = (1, 0),
        nll: Sequence[float] | None = None,
        *,
        number: int = 0,
        candidate: Candidate | None = None,
        groups: Sequence[str | None] | None = None,
        first: int = 0,
    ) -> Trial:
        nlls = nll if nll is not None else [1.0 - r for r in right]
        named = groups if groups is not None else [None] * len(right)
        scores = tuple(
            ClipScore(f"clip{first + i}", 0, 0 if r else 3, n, g)
            for i, (r, n, g) in enumerate(zip(right, nlls, named, strict=True))
        )
        training = Training("ok", None, scores, 0, 0, 0.0, 0)
        chosen = candidate or make_candidate()
        return Trial(number, "complete", chosen, {"macs": chosen.macs}, {TrainingKey(): training})

    return make
