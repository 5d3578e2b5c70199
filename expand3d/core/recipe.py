"""Recipes of trainings as data, and the profiles that a study may name."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from expand3d.core.errors import ConfigError, nearest

#: The ways in which the learning rate ends, as `Recipe` says.
Anneal = Literal["cosine", "branch", "average"]

#: The keys of a recipe that matter where a training begins with weights.
WARM = ("warm_lr", "shrink", "perturb", "freeze", "freeze_norm")

#: The part of a branch's steps in which its learning rate goes down to zero (arXiv 2405.18392,
#: section 3: 20% are as good as a cosine over the whole length).
COOLDOWN = 0.2

#: The ways in which a training begins on smaller clips, as `Recipe` says.
Multigrid = Literal["off", "long", "sides"]
#: The shapes that clips pass through in each, the whole clip last.
SHAPES: Mapping[str, int] = {"off": 1, "long": 4, "sides": 3}


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _share(value: Any) -> bool:
    return not isinstance(value, bool) and 0 <= value < 1


def _whole_share(value: Any) -> bool:
    return not isinstance(value, bool) and 0 <= value <= 1


def _rising(value: Any) -> bool:
    low, high = value
    return 1 <= low <= high < math.inf


def _switch(value: Any) -> bool:
    return value in ("auto", "on", "off")


def _true(holds: Callable[[Any], bool], value: Any) -> bool:
    """True where a rule holds; a value of a type that it cannot judge breaks it."""
    try:
        return holds(value)
    except (TypeError, ValueError):
        return False


#: What a field's value must do, as a test and in words, with a value that does.
_RULES: Mapping[str, tuple[Callable[[Any], bool], str, str]] = {
    "clip_visits": (_count, "be a whole number from 1", "1000"),
    "epochs": (_count, "be a whole number from 1", "256"),
    "batch": (_count, "be a whole number from 1", "16"),
    "bn_batch": (_count, "be a whole number from 1", "16"),
    "lr": (lambda value: 0 < value < math.inf, "be a number above 0", "0.05"),
    "warmup": (_share, "lie in [0, 1)", "0.1"),
    "momentum": (_share, "lie in [0, 1)", "0.9"),
    "weight_decay": (_share, "lie in [0, 1)", "5e-5"),
    "dropout": (_share, "lie in [0, 1)", "0.5"),
    "label_smoothing": (_share, "lie in [0, 1)", "0.1"),
    "jitter": (_rising, "be two rising numbers from 1", "(1.14, 1.43)"),
    "flip": (lambda value: isinstance(value, bool), "be true or false", "false"),
    "test_views": (_count, "be a whole number from 1", "10"),
    "test_crops": (lambda value: value in (1, 3), "be 1 or 3", "1"),
    "amp": (_switch, "be 'auto', 'on' or 'off'", "'auto'"),
    "channels_last": (_switch, "be 'auto', 'on' or 'off'", "'auto'"),
    "warm_lr": (lambda value: 0 < value < math.inf, "be a number above 0", "0.1"),
    "shrink": (_whole_share, "lie in [0, 1]", "0.6"),
    "perturb": (_whole_share, "lie in [0, 1]", "0.1"),
    "freeze": (_share, "lie in [0, 1)", "0.5"),
    "freeze_norm": (lambda value: isinstance(value, bool), "be true or false", "true"),
    "anneal": (
        lambda value: value in get_args(Anneal),
        "be 'cosine', 'branch' or 'average'",
        "'branch'",
    ),
    "multigrid": (lambda value: value in SHAPES, "be 'off', 'long' or 'sides'", "'sides'"),
}


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum, linear warm-up, and an end of the learning rate.

    The length is `clip_visits` (training clips seen, repeats counted) or, where that is None,
    `epochs`. `lr` is for a batch of `batch` clips; a batch is made of passes of `bn_batch` clips,
    which is what BatchNorm sees, the same for every candidate. `jitter` is the range of the short
    side that a clip is resized to, relative to the crop (the paper's 182-228 for 160). Test views
    are uniform in time; one crop is the centre, three are left, centre and right.

    `anneal` "cosine" decays to zero over the whole length, so that a network which is tested on the
    way is not at its end. The others keep the rate, and a test on the way is that of a training of
    this length: "branch" cools down before each test, and goes on from before the cool-down;
    "average" tests an average of the last weights.

    With `multigrid` the first steps read smaller clips (`networks/multigrid.py`): "long" of fewer
    frames too, "sides" of all frames. Each shape has as many steps, the last ones read whole clips;
    batch and rate are as without.

    The keys of WARM matter where a training begins with weights. What came with them learns at
    `warm_lr` times the rate, what is new at the whole. Convolutions and linear layers begin at
    `shrink` times what came, plus `perturb` times a fresh draw (arXiv 1910.08475). The first share
    `freeze` of the layers stays as it came, where all of a layer did. With `freeze_norm` each
    BatchNorm that came as a whole stays, and normalises by the statistics that came with it.
    ConfigError where a value is illegal.
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
    anneal: Anneal = "cosine"
    warm_lr: float = 1.0
    shrink: float = 1.0
    perturb: float = 0.0
    freeze: float = 0.0
    freeze_norm: bool = False
    multigrid: Multigrid = "off"

    def __post_init__(self) -> None:
        if isinstance(self.jitter, list):  # as TOML and JSON write it
            object.__setattr__(self, "jitter", tuple(self.jitter))
        if self.epochs is None and self.clip_visits is None:
            raise ConfigError("recipe: one of clip_visits and epochs must be given")
        for name, (holds, rule, example) in _RULES.items():
            value = getattr(self, name)
            optional = value is None and name in ("clip_visits", "epochs")
            if not optional and not _true(holds, value):
                raise ConfigError(f"recipe: {name} = {value!r} must {rule}, for example {example}")
        if self.batch % self.bn_batch:
            multiple = max(1, round(self.batch / self.bn_batch)) * self.bn_batch
            raise ConfigError(
                f"recipe: batch = {self.batch} must be a multiple of bn_batch = {self.bn_batch}; "
                f"the nearest is {multiple}"
            )

    def epochs_for(self, clips: int) -> int:
        """Whole passes over a training set of `clips` clips."""
        if self.epochs is not None:
            return self.epochs
        assert self.clip_visits is not None
        return max(1, math.ceil(self.clip_visits / clips))

    def visits_for(self, clips: int) -> int:
        """Training clips seen in all, over a training set of `clips` clips."""
        return self.epochs_for(clips) * clips if self.epochs is not None else self.clip_visits or 0

    def steps_for(self, clips: int) -> int:
        """Optimiser steps over a training set of `clips` clips: whole batches, rounded up."""
        return math.ceil(self.visits_for(clips) / self.batch)

    def trunk(self, last: int) -> int:
        """The step from which the branch leaves that is tested at step `last`; else `last`."""
        if self.anneal != "branch":
            return last
        return max(1, last - max(1, round(COOLDOWN * last)))

    def shape_at(self, step: int, *, steps: int) -> int:
        """The number, from 0, of the shape that step `step` of `steps` reads; the last is whole.

        Every step past the end reads whole clips.
        """
        return bisect_right(self._begins(steps), step) - 1

    def by_shape(self, taken: range, *, steps: int) -> tuple[int, ...]:
        """The number of the steps `taken`, of a training of `steps`, that read each shape."""
        begins = self._begins(steps)
        ends = (*begins[1:], max(steps, taken.stop))
        return tuple(
            max(0, min(end, taken.stop) - max(begin, taken.start))
            for begin, end in zip(begins, ends, strict=True)
        )

    def _begins(self, steps: int) -> tuple[int, ...]:
        """The step from which each shape is read; what cannot be shared evenly is whole clips'."""
        shapes = SHAPES[self.multigrid]
        return tuple(steps * n // shapes for n in range(shapes))

    @property
    def smaller_first(self) -> bool:
        """True where a training begins on smaller clips."""
        return self.multigrid != "off"

    def to_json(self) -> dict[str, Any]:
        """All fields; those of later versions where they differ from earlier ones' recipes."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        data = dataclasses.asdict(self)
        later = [name for name in ("anneal", *WARM, "multigrid") if data[name] == defaults[name]]
        return {name: value for name, value in data.items() if name not in later}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Recipe:
        return cls(**{**data, "jitter": tuple(data["jitter"])})


#: quick is for a look on a laptop, standard for choosing, paper for a GPU, final for the winner.
PROFILES: Mapping[str, Recipe] = {
    recipe.profile: recipe
    for recipe in (
        Recipe("quick", 1_000, None, batch=16, bn_batch=16, lr=0.1, dropout=0.2),
        Recipe("standard", 10_000, None, batch=16, bn_batch=16, lr=0.1, dropout=0.5),
        Recipe("paper", None, 256, batch=64, bn_batch=8, lr=0.05, test_views=10),
        Recipe("final", 4_000, None, batch=16, bn_batch=16, lr=0.1, dropout=0.2, test_views=10),
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
