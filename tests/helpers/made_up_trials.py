"""Trials made up for the tests of the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from expand3d.core.genotype import Genotype
from expand3d.core.result import ClipScore, Training
from expand3d.core.trial import Candidate
from expand3d.networks import get_family
from expand3d.study.config import NamedConfig

X3D = get_family("x3d")
FACTORS = {"gamma_t": 1.0, "gamma_w": 1.5}
RANGES = {"gamma_t": (1.0, 512.0), "gamma_w": (0.33, 8.0)}


def config(root: Path, name: str = "birds", **changes: object) -> NamedConfig:
    return NamedConfig.from_mapping(
        {"budget": "0.1GFLOPs", "name": name, "root": str(root), **changes}
    )


def candidate(width: float = 1.5, *, step: int = 0, macs: int = 20_670_000) -> Candidate:
    genotype = Genotype("x3d", {**FACTORS, "gamma_w": width})
    return Candidate(
        genotype=genotype,
        plan=X3D.resolve(X3D.base.replace(gamma_w=width)),
        macs=macs,
        step=step,
        axis="gamma_w" if step else None,
        role="expand" if step else "base",
    )


def scores(ranks: Sequence[int]) -> tuple[ClipScore, ...]:
    return tuple(
        ClipScore(f"scene{index % 3}/clip{index}.mp4", index % 4, rank, 0.1 + rank / 3, "scene")
        for index, rank in enumerate(ranks)
    )


def training(ranks: Sequence[int] = (0, 1, 0, 7), *, status: str = "ok") -> Training:
    ok = status == "ok"
    return Training(
        status=status,  # type: ignore[arg-type]
        reason=None if ok else f"{status} at epoch 3",
        scores=scores(ranks) if ok else (),
        clip_visits=1000,
        training_macs=3 * 20_670_000 * 1000,
        seconds=12.5,
        peak_memory=10**9,
        curve=({"epoch": 0, "loss": 1.6, "lr": 0.05},),
        environment={"threads": 2},
    )
