"""How a network is trained, as data: the profiles that a study may name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expand3d.errors import ConfigError, nearest


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum, linear warm-up, cosine decay to zero.

    The length is `clip_visits` (training clips seen, repeats counted) or, where that is None,
    `epochs`. `lr` is for a batch of `batch` clips; a batch is made of passes of `bn_batch` clips,
    which is what BatchNorm sees, the same for every candidate. `jitter` is the range of the short
    side that a clip is resized to, relative to the crop (the paper's 182-228 for 160). Test views
    are uniform in time; one crop is the centre, three are left, centre and right.
    """

    profile: str
    clip_visits: int | None
    epochs: int | None
    batch: int
    bn_batch: int
    lr: float
    warmup: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-5
    dropout: float = 0.5
    label_smoothing: float = 0.0
    jitter: tuple[float, float] = (128 / 112, 160 / 112)
    flip: bool = False
    test_views: int = 2
    test_crops: int = 1
    amp: str = "auto"
    channels_last: str = "auto"

    def epochs_for(self, clips: int) -> int:
        """Whole passes over a training set of `clips` clips."""
        if self.epochs is not None:
            return self.epochs
        assert self.clip_visits is not None
        return max(1, math.ceil(self.clip_visits / clips))

    def visits_for(self, clips: int) -> int:
        """Training clips seen in all, over a training set of `clips` clips."""
        return self.epochs_for(clips) * clips if self.epochs is not None else self.clip_visits or 0

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Recipe:
        return cls(**{**data, "jitter": tuple(data["jitter"])})


#: quick is for a look on a laptop, standard for choosing, paper for a GPU, final for the winner.
PROFILES: Mapping[str, Recipe] = {
    recipe.profile: recipe
    for recipe in (
        Recipe("quick", 1_000, None, batch=16, bn_batch=16, lr=0.05, dropout=0.2),
        Recipe("standard", 10_000, None, batch=16, bn_batch=16, lr=0.05, dropout=0.5),
        Recipe("paper", None, 256, batch=64, bn_batch=8, lr=0.05, test_views=10),
        Recipe("final", 2_000, None, batch=16, bn_batch=16, lr=0.05, dropout=0.5, test_views=10),
    )
}


def get_profile(name: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe called `name` with some fields replaced; ConfigError names the nearest field."""
    if name not in PROFILES:
        raise ConfigError(f"unknown profile {name!r}{nearest(name, PROFILES)}")
    fields = {field.name for field in dataclasses.fields(Recipe)} - {"profile"}
    for key in overrides or {}:
        if key not in fields:
            raise ConfigError(f"the recipe has no key {key!r}{nearest(key, fields)}")
    return dataclasses.replace(PROFILES[name], **(overrides or {}))
