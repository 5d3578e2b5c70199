"""Tiny clips in memory, and a tiny network that trains on them in a second."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expand3d.core.recipe import Recipe
from expand3d.core.result import Training
from expand3d.networks.families.x3d import FAMILY, X3DPlan


@dataclass(frozen=True)
class ArrayStore:
    """Clips that are held in memory."""

    clips: Sequence[NDArray[np.uint8]]
    labels: Sequence[int]
    keys: Sequence[str]
    groups: Sequence[str | None]
    class_names: Sequence[str] = ("dark", "bright")
    every: int = 1

    @cached_property
    def identities(self) -> Sequence[str]:  # a training asks for them at each checkpoint
        return [hashlib.sha256(clip.tobytes()).hexdigest() for clip in self.clips]

    def __len__(self) -> int:
        return len(self.clips)

    def frames(self, index: int) -> NDArray[np.uint8]:
        return self.clips[index]


@cache
def make_store(count: int = 24, *, side: int = 40, frames: int = 10) -> ArrayStore:
    """Noise whose mean brightness is the class: learnable, whatever the view."""
    rng = np.random.default_rng(7)
    labels = [index % 2 for index in range(count)]
    shapes = [(frames + index % 3, side, side + 4 * (index % 2), 3) for index in range(count)]
    clips = [
        (rng.integers(0, 120, size=shape) + 110 * label).astype(np.uint8)
        for shape, label in zip(shapes, labels, strict=True)
    ]
    keys = [f"clip{index:02d}.avi" for index in range(count)]
    return ArrayStore(clips, labels, keys, [f"seq{index // 4}" for index in range(count)])


def make_plan(*, frames: int = 2, stride: int = 2, crop: int = 32) -> X3DPlan:
    """8 to 64 channels, one block a stage, two classes."""
    factors = {"gamma_w": 1 / 3, "gamma_d": 0.2, "gamma_t": frames, "gamma_tau": stride}
    genotype = FAMILY.base.replace(**factors, gamma_s=crop / 112)
    return dataclasses.replace(FAMILY.resolve(genotype, num_classes=2), lin5=32)


def make_recipe(**changes: Any) -> Recipe:
    """12 steps of 2 passes of 4 clips, dropout on."""
    recipe = Recipe("tiny", 96, None, batch=8, bn_batch=4, lr=0.05, jitter=(1.1, 1.3), flip=True)
    return dataclasses.replace(recipe, **changes)


def trained(folder: Path, recipe: Recipe, **settings: Any) -> Training:
    """The training of 16 clips, tested on eight, with checkpoint and weights in the folder."""
    from expand3d.training.tasks.classify import train

    folder.mkdir(exist_ok=True)
    return train(
        make_plan(),
        make_store(),
        train_indices=range(16),
        eval_indices=range(16, 24),
        recipe=recipe,
        seed=5,
        forward_macs=1000,
        threads=1,
        checkpoint=folder / "checkpoint",
        weights_out=folder / "weights",
        **settings,
    )
