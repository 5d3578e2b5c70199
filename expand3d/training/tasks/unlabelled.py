"""The common part of tasks that learn from clips without their labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Plan, digest
from expand3d.core.recipe import Recipe
from expand3d.data.store import FRAMES, ClipStore
from expand3d.training.loop import Loop
from expand3d.training.step import Ended

N = TypeVar("N", bound=nn.Module)
S = TypeVar("S")


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


def learned(run: Loop[N, Any, S], say: Callable[[str], None]) -> S:
    """The scores of the held-out clips, once the rest of the training is done.

    `say` is told where it goes on. ConfigError where it diverges.
    """
    run.resume()
    for note in run.notes:
        say(note)
    if 0 < run.step < run.steps:
        say(f"goes on after step {run.step} of {run.steps}")
    try:
        run.fit()
        return run.test()
    except Ended as ended:
        lr = run.recipe.lr
        raise ConfigError(f"lr = {lr:g} is too much: {ended}; try {lr / 10:g}") from None
