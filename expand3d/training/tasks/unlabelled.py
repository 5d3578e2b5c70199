"""The common part of tasks that learn from clips without their labels."""

from __future__ import annotations

from dataclasses import dataclass

from expand3d.core.genotype import Plan, digest
from expand3d.core.recipe import Recipe
from expand3d.data.store import FRAMES, ClipStore


@dataclass(frozen=True)
class Unlabelled:
    """A network, the clips that it learns from, and those that it is tested on."""

    plan: Plan
    store: ClipStore
    train: tuple[int, ...]
    held_out: tuple[int, ...]
    recipe: Recipe
    seed: int

    #: A step is one pass: what normalises by batch sees all of it.
    passes = 1

    @property
    def clips(self) -> int:
        return len(self.train)

    @property
    def test_views(self) -> int:
        return len(self.held_out)

    def belongs(self) -> dict[str, str]:
        """The digests in which two parts of one training agree."""
        store, parts = self.store, (self.train, self.held_out)
        return {
            "plan": self.plan.digest,
            "recipe": digest(self.recipe.to_json()),
            "seed": str(self.seed),
            "clips": digest([[store.keys[i] for i in part] for part in parts]),
            FRAMES: digest([[store.identities[i] for i in part] for part in parts]),
        }
