"""One trial of a study: a candidate, its trainings, and the estimate that they give."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from expand3d.core.genotype import Genotype
from expand3d.core.measured import Latency
from expand3d.core.result import Training
from expand3d.core.scores import ClipScore, Means, Summary, pool, summary

State = Literal["running", "complete", "failed"]
#: The role of a published network that is trained beside what a strategy proposes.
BASELINE = "baseline"


@dataclass(frozen=True)
class Candidate:
    """A network that a strategy proposes, or a published one that is trained beside it.

    `step` 0 is the base. `axis` is the factor that the step changes (None for the base);
    `merged` names other axes that led to the same network. `target` is the `cost` that the
    solver aimed at, `role` is "base", "expand", "contract" or "baseline". A baseline belongs to no
    step (None) and `label` is its name. `price` is the cost in the quantity that the study's steps
    count, where that is not MACs; `latency` is what was measured, where the study limits it.
    `parent` is the digest of the network that an expansion grew or contracted; where it kept
    several of a step, `label` says which one that is.
    """

    genotype: Genotype
    plan: Mapping[str, Any]
    digest: str
    macs: int
    step: int | None
    axis: str | None
    role: str = "expand"
    target: int | None = None
    merged: tuple[str, ...] = ()
    label: str | None = None
    price: int | None = None
    latency: Latency | None = None
    parent: str | None = None

    @property
    def cost(self) -> int:
        """The cost in the quantity that the study's steps count."""
        return self.macs if self.price is None else self.price

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "genotype": self.genotype.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Candidate:
        latency = data.get("latency")
        return cls(
            **{
                **data,
                "genotype": Genotype.from_json(data["genotype"]),
                "merged": tuple(data["merged"]),
                "latency": Latency.from_json(latency) if latency else None,
            }
        )


@dataclass(frozen=True)
class Trial:
    """A candidate with what became of it; everything here is in the record, as one JSON value.

    `trainings` are keyed "fold/repeat" ("0/0" where there are neither). `cost` holds
    `Cost.totals()`. `reason` says why there is no score. `provenance` says what produced it:
    versions, device, threads, data fingerprint, seed, recipe.
    """

    number: int
    state: State
    candidate: Candidate
    cost: Mapping[str, int]
    trainings: Mapping[str, Training] = field(default_factory=dict)
    reason: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def scores(self) -> dict[str, list[ClipScore]]:
        """The scores of every held-out clip by key, one per repeat; folds are pooled."""
        pooled: dict[str, list[ClipScore]] = {}
        for key in sorted(self.trainings):
            for score in self.trainings[key].scores:
                pooled.setdefault(score.key, []).append(score)
        return pooled

    @cached_property
    def means(self) -> Means | None:
        """Mean scores over all held-out clips: repeats are averaged, folds pooled."""
        folds: dict[str, list[Means]] = {}
        for key, training in self.trainings.items():
            if training.means is not None:
                folds.setdefault(key.partition("/")[0], []).append(training.means)
        return pool(list(folds.values()))

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "state": self.state,
            "candidate": self.candidate.to_json(),
            "cost": dict(self.cost),
            "trainings": {key: value.to_json() for key, value in self.trainings.items()},
            "reason": self.reason,
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        trainings = {key: Training.from_json(value) for key, value in data["trainings"].items()}
        return cls(
            **{
                **data,
                "candidate": Candidate.from_json(data["candidate"]),
                "trainings": trainings,
            }
        )


def summarise(trial: Trial) -> Summary | None:
    """Top-1 with its 95% interval, top-5 and log-loss over all held-out clips; None without any.

    Folds are pooled and repeats averaged clip by clip. A running trial gives the estimate of the
    trainings that it has so far.
    """
    return summary(trial.means) if trial.means else None
