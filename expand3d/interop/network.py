"""One network with all that is needed to rebuild it and to train it again, as it is exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.core.genotype import Genotype, Plan
from expand3d.core.trial import Trial
from expand3d.networks import get_family, plan_from_json

if TYPE_CHECKING:
    from torch import nn

#: The place in `provenance` of the hashes of all clips that trained the weights.
TRAINING_CLIPS = "training_clips"


@dataclass(frozen=True)
class ExportedNetwork:
    """A network of a study, its weights where they were kept, and how it came about.

    `recipe` is `Recipe.to_json()` of the training that the weights come from, or that gave the
    scores. `scores` are what was measured, each under a name that says on what. `weights` is a
    safetensors file under the family's own names; None means architecture only.
    """

    study: str
    trial: int
    genotype: Genotype
    plan: Plan
    recipe: Mapping[str, Any]
    target_fps: float | None = None
    classes: tuple[str, ...] = ()
    scores: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None

    @classmethod
    def of_trial(cls, trial: Trial, **fields: Any) -> ExportedNetwork:
        """The network of a trial; `fields` replace or add to what the trial itself knows."""
        known: dict[str, Any] = {
            "trial": trial.number,
            "genotype": trial.candidate.genotype,
            "plan": trial.candidate.plan,
            "recipe": trial.provenance.get("recipe", {}),
            "provenance": dict(trial.provenance),
        }
        return cls(**{**known, **fields})

    @property
    def title(self) -> str:
        """The study and trial as one name."""
        return f"{self.study}, trial {self.trial}"

    def build(self) -> nn.Module:
        """The network in eval mode, with its weights where there are any, else untrained."""
        dropout = float(self.recipe.get("dropout", 0.0))
        network = get_family(self.plan.family).build(self.plan, dropout=dropout)
        if self.weights is not None:
            from expand3d.networks.weights.kept import put_weights

            put_weights(network, self.weights)
        return network.eval()

    def to_json(self) -> dict[str, Any]:
        """Everything but the weights; their place is the exporter's matter."""
        return {
            "study": self.study,
            "trial": self.trial,
            "genotype": self.genotype.to_json(),
            "plan": self.plan.to_json(),
            "digest": self.plan.digest,
            "cost": get_family(self.plan.family).cost(self.plan).to_json(),
            "recipe": dict(self.recipe),
            "target_fps": self.target_fps,
            "classes": list(self.classes),
            "scores": dict(self.scores),
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, weights: Path | None) -> ExportedNetwork:
        return cls(
            study=data["study"],
            trial=data["trial"],
            genotype=Genotype.from_json(data["genotype"]),
            plan=plan_from_json(data["plan"]),
            recipe=data["recipe"],
            target_fps=data["target_fps"],
            classes=tuple(data["classes"]),
            scores=data["scores"],
            provenance=data["provenance"],
            weights=weights,
        )
