"""One trial of a study: a candidate, its trainings, and the estimate that they give."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from expand3d.core.classes import ByClass, pool_classes
from expand3d.core.genotype import Genotype, Plan, digest
from expand3d.core.measured import Latency
from expand3d.core.plugins import FAMILIES
from expand3d.core.result import Training, TrainingKey
from expand3d.core.scores import ClipScore, Means, Summary, pool, summary

#: A trial that is running may also wait to be trained on; one that is stopped was trained in part.
State = Literal["running", "complete", "failed", "stopped"]
#: The role of a published network that is trained beside what a strategy proposes.
BASELINE = "baseline"
#: What a training starts from that starts from random weights.
SCRATCH = "scratch"
#: What a study's networks start from that start from the weights of those that they grew from.
PARENT = "parent"


def identity(plan: Plan, start: str = SCRATCH, repeat: int | None = None) -> str:
    """16 hex digits that name a network, the weights that it starts from, and a seed of its own."""
    if repeat is not None:
        return digest(plan.to_json(), start, repeat)
    return plan.digest if start == SCRATCH else digest(plan.to_json(), start)


@dataclass(frozen=True)
class Candidate:
    """A network that a strategy proposes, or a published one that is trained beside it.

    `step` 0 is the base. `axis` is the factor that the step changes (None for the base);
    `merged` names other axes that led to the same network. `target` is the `cost` that the
    solver aimed at, `role` is "base", "expand", "contract" or "baseline". A baseline belongs to no
    step (None) and `label` is its name. `price` is the cost in the quantity that the study's steps
    count, where that is not MACs; `latency` is what was measured, where the study limits it.
    `start` is what its weights start from: SCRATCH, the hash of a weight file, or the digest of a
    parent's candidate. `parent` is the digest of the candidate that an expansion grew or
    contracted. It names one trial, as the number would, but workers side by side do not change it.
    Where the expansion kept several of a step, `label` says which one it is. `repeat` is the seed
    of the study with which alone it is trained, None for all of them. `point` is its place in the
    space of the sampler that proposed it.
    """

    genotype: Genotype
    plan: Plan
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
    start: str = SCRATCH
    repeat: int | None = None
    point: tuple[float, ...] | None = None

    @cached_property
    def digest(self) -> str:
        """16 hex digits of `identity`: equal plans from unequal weights are two candidates."""
        return identity(self.plan, self.start, self.repeat)

    @property
    def cost(self) -> int:
        """The cost in the quantity that the study's steps count."""
        return self.macs if self.price is None else self.price

    def to_json(self) -> dict[str, Any]:
        data = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        started: dict[str, Any] = {} if self.start == SCRATCH else {"start": self.start}
        if self.repeat is not None:
            started["repeat"] = self.repeat
        if self.point is not None:
            started["point"] = list(self.point)
        del data["start"], data["repeat"], data["point"]
        return {
            **data,
            "genotype": self.genotype.to_json(),
            "plan": self.plan.to_json(),
            "digest": self.digest,
            "latency": self.latency.to_json() if self.latency else None,
            **started,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Candidate:
        latency = data.get("latency")
        kept = {key: value for key, value in data.items() if key != "digest"}
        family = FAMILIES.load(data["plan"]["family"])
        point = data.get("point")
        return cls(
            **{
                **kept,
                "plan": family.plan_from_json(data["plan"]),
                "genotype": Genotype.from_json(data["genotype"]),
                "merged": tuple(data["merged"]),
                "latency": Latency.from_json(latency) if latency else None,
                "point": tuple(point) if point else None,
            }
        )


@dataclass(frozen=True)
class Trial:
    """A candidate with what became of it; everything here is in the record, as one JSON value.

    `trainings` are keyed by part, fold, repeat and visits. `cost` holds `Cost.totals()`. `reason`
    says why there is no score. `provenance` says what produced it: versions, device, threads, data
    fingerprint, seed, recipe. `reached` is the most clip visits after which all its trainings were
    tested, 0 where no batch asked for fewer than all.
    """

    number: int
    state: State
    candidate: Candidate
    cost: Mapping[str, int]
    trainings: Mapping[TrainingKey, Training] = field(default_factory=dict)
    reason: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    reached: int = 0

    @property
    def why(self) -> str:
        """The reason for the lack of a score of a whole training, or the state without one."""
        if self.reason is None:
            return self.state
        return f"stopped: {self.reason}" if self.state == "stopped" else self.reason

    @cached_property
    def furthest(self) -> Mapping[TrainingKey, Training]:
        """The trainings that went furthest, keyed without visits.

        One to more visits goes on from those to fewer, and its visits, multiply-adds and seconds
        count theirs too.
        """
        by_reach = sorted(self.trainings.items(), key=lambda item: item[0].reach)
        return {key.until(None): training for key, training in by_reach}

    @property
    def seconds(self) -> float:
        """Seconds of all trainings and tests."""
        tests_on_the_way = sum(
            training.test_seconds
            for key, training in self.trainings.items()
            if training is not self.furthest[key.until(None)]
        )
        return sum(training.seconds for training in self.furthest.values()) + tests_on_the_way

    def at(self, visits: int) -> Trial:
        """The trial with only the trainings to so many visits, so that trials compare there."""
        there = {key: run for key, run in self.trainings.items() if key.visits == visits}
        return dataclasses.replace(self, trainings=there)

    @property
    def _whole(self) -> Mapping[TrainingKey, Training]:
        """The trainings whose scores are the network's: a part's own are looked at by its name."""
        return {key: run for key, run in self.furthest.items() if key.part is None}

    def scores(self) -> dict[str, list[ClipScore]]:
        """The scores of every held-out clip by key, one per repeat; folds are pooled."""
        pooled: dict[str, list[ClipScore]] = {}
        for _, training in sorted(self._whole.items(), key=lambda item: str(item[0])):
            for score in training.scores:
                pooled.setdefault(score.key, []).append(score)
        return pooled

    @cached_property
    def means(self) -> Means | None:
        """Mean scores over all held-out clips: repeats are averaged, folds pooled."""
        folds: dict[int, list[Means]] = {}
        for key, training in self._whole.items():
            if training.means is not None:
                folds.setdefault(key.fold, []).append(training.means)
        return pool(list(folds.values()))

    @cached_property
    def by_class(self) -> ByClass:
        """The count of each class over all held-out clips: repeats are averaged, folds pooled."""
        folds: dict[int, list[ByClass]] = {}
        for key, training in self._whole.items():
            if training.by_class:
                folds.setdefault(key.fold, []).append(training.by_class)
        return pool_classes(list(folds.values()))

    def to_json(self) -> dict[str, Any]:
        reached = {"reached": self.reached} if self.reached else {}
        return {
            "number": self.number,
            "state": self.state,
            "candidate": self.candidate.to_json(),
            "cost": dict(self.cost),
            "trainings": {str(key): value.to_json() for key, value in self.trainings.items()},
            "reason": self.reason,
            "provenance": dict(self.provenance),
            **reached,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        trainings = {
            TrainingKey.parse(key): Training.from_json(value)
            for key, value in data["trainings"].items()
        }
        return cls(
            **{
                **data,
                "candidate": Candidate.from_json(data["candidate"]),
                "trainings": trainings,
            }
        )


def summarise(trial: Trial) -> Summary | None:
    """Accuracies, the 95% interval of top-1 and log-loss over all held-out clips; None without any.

    Folds are pooled and repeats averaged clip by clip. A running trial gives the estimate of the
    trainings that it has so far.
    """
    return summary(trial.means, trial.by_class) if trial.means else None
