"""The command line's verbs for Python; `import expand3d` offers them and loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from expand3d.core.genotype import Genotype, Plan
from expand3d.networks import all_presets, get_family
from expand3d.networks.family import Preset
from expand3d.networks.operators import Cost

if TYPE_CHECKING:
    from torch import nn

    from expand3d.report.study.view import StudyView


def presets() -> dict[str, Preset]:
    """The published networks of every family by name."""
    return all_presets()


def resolve(genotype: Genotype, *, num_classes: int = 400) -> Plan:
    """The integers of `genotype`, the only step that rounds; no torch.

    Raises FactorError where a factor is unknown, missing or outside its range.
    """
    return get_family(genotype.family).resolve(genotype, num_classes=num_classes)


def cost(plan: Plan, *, crop: int | None = None) -> Cost:
    """Arithmetic cost of one view at the training crop, or at another `crop`; no torch."""
    return get_family(plan.family).cost(plan, crop=crop)


def build(plan: Plan, *, dropout: float = 0.5) -> nn.Module:
    """A network from float N x 3 x T x H x W to logits N x num_classes."""
    return get_family(plan.family).build(plan, dropout=dropout)


def load_study(name: str, *, root: str | Path = "studies", storage: str | None = None) -> StudyView:
    """The study `name` as it is recorded now: trials, steps, frontier, best and final.

    It may be running. StudyError names the nearest where there is none of that name.
    """
    from expand3d.report.study.view import load_view

    return load_view(name, root=root, storage=storage)
