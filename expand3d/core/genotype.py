"""Networks as data: the factors that a search turns, and the integers that they resolve to.

Standard library only. A `Genotype` is what a strategy proposes; a `Plan` is what is built, costed,
trained and exported. The integers are the truth: a multiplier such as gamma_w is only one
framework's spelling of them, so identity (`Plan.digest`) is taken from the plan.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from expand3d.core.input_kinds import Source
from expand3d.core.inputs import Input


def canonical(value: Any) -> str:
    """JSON text that is the same for equal values: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(*values: Any) -> str:
    """16 hex digits that name a tuple of JSON values."""
    return hashlib.sha256(canonical(values).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Genotype:
    """A family's name and the value of each of its factors."""

    family: str
    factors: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", dict(sorted(self.factors.items())))

    def __hash__(self) -> int:
        return hash((self.family, tuple(self.factors.items())))

    def __getitem__(self, factor: str) -> float:
        return self.factors[factor]

    def replace(self, **factors: float) -> Genotype:
        """The same network with some factors changed."""
        changed = {**self.factors, **factors}
        if len(changed) > len(self.factors):
            return Genotype(self.family, changed)
        # No new name, so that the order is kept: a search makes half a million of these.
        same = object.__new__(Genotype)
        same.__dict__.update(family=self.family, factors=changed)
        return same

    def to_json(self) -> dict[str, Any]:
        return {"family": self.family, "factors": dict(self.factors)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Genotype:
        return cls(data["family"], data["factors"])


@dataclass(frozen=True)
class Plan:
    """The integers of one network and of the clip it reads; families subclass it with their own.

    `frames` x `stride` is the clip's duration in frames at the target frame rate, `crop` the side
    of the square training crop in pixels. What a network reads is what `inputs` says.
    """

    family: str
    frames: int
    stride: int
    crop: int
    num_classes: int

    @property
    def duration(self) -> int:
        """Length of a clip in source frames at the target frame rate."""
        return self.frames * self.stride

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs made of one clip, in the order of its `forward`'s arguments."""
        return (Input(self.frames, self.stride, self.crop),)

    @property
    def sources(self) -> frozenset[Source]:
        """The sources that the data must hold for the inputs: frames, flow or warped flow."""
        found: set[Source] = {each.made_of.source for each in self.inputs}
        if any(each.made_of.both_ways for each in self.inputs):
            found.add("backward")
        return frozenset(found)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each input."""
        return tuple(each.kind for each in self.inputs)

    @cached_property
    def digest(self) -> str:
        """16 hex digits that two plans share exactly when they are the same network."""
        return digest(self.to_json())

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
