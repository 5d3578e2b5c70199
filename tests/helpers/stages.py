"""Assignments of tiny networks whose trainings do what a script says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from expand3d.core.recipe import get_profile
from expand3d.core.result import Training, TrainingKey
from expand3d.core.trial import Candidate
from expand3d.execute.base import Assignment
from expand3d.execute.evaluate import Bench, Job
from expand3d.networks import get_family
from tests.helpers.deeds import EVALUATE, Nothing

X3D = get_family("x3d")


def candidate(frames: int) -> Candidate:
    genotype = X3D.base.replace(gamma_t=frames)
    plan = X3D.resolve(genotype, num_classes=2)
    return Candidate(genotype, plan, X3D.cost(plan).macs, 1, None)


def bench(timeout: float | None = None) -> Bench:
    jobs = (Job(TrainingKey(), (0,), (1,), 11), Job(TrainingKey(1), (1,), (0,), 22))
    return Bench(Nothing(), get_profile("quick"), jobs, "cpu", 1, "f" * 32, timeout)  # type: ignore[arg-type]


@dataclass
class Told:
    """A listener that keeps what it is told."""

    trained_: dict[tuple[int | None, TrainingKey], Training] = field(default_factory=dict)
    ended_: dict[int | None, str | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    shown: set[int | None] = field(default_factory=set)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, assignment: Assignment, progress: Any) -> None:
        self.shown.add(assignment.number)

    def trained(self, assignment: Assignment, key: TrainingKey, training: Training) -> None:
        assert (assignment.number, key) not in self.trained_, "told twice"
        self.trained_[assignment.number, key] = training

    def ended(self, assignment: Assignment, failure: str | None) -> None:
        assert assignment.number not in self.ended_, "told twice"
        self.ended_[assignment.number] = failure


@dataclass
class Stage:
    """A study's folder with one assignment per deed, numbered from 0."""

    home: Path
    deeds: Sequence[str]
    timeout: float | None = None
    visits: int | None = None
    begun: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.home / "checkpoints").mkdir(exist_ok=True)
        (self.home / "log").touch()
        self.candidates = [candidate(number + 1) for number in range(len(self.deeds))]
        self.play(self.deeds)

    def play(self, deeds: Sequence[str]) -> None:
        """Set what the trainings do from now on."""
        script = {c.digest: deed for c, deed in zip(self.candidates, deeds, strict=True)}
        (self.home / "script.json").write_text(json.dumps(script))

    def assignment(self, number: int, **changes: Any) -> Assignment:
        made = self.candidates[number]
        identity = bench().identity(made.plan)
        checkpoints = self.home / "checkpoints"
        return replace(
            Assignment(number, made, {}, checkpoints, identity, evaluate=EVALUATE), **changes
        )

    def assignments(self, told: Told | None = None) -> Iterator[tuple[Assignment, Bench]]:
        """Every assignment that `told` has no end for, with the trainings that it was told."""
        for number in range(len(self.deeds)):
            if told is not None and number in told.ended_:
                continue
            done = {k: t for (n, k), t in told.trained_.items() if n == number} if told else {}
            self.begun.append(number)
            yield self.assignment(number, done=done, visits=self.visits), bench(self.timeout)

    def log(self) -> list[tuple[int, str, int, int]]:
        """Every training that began: number, key, the step it began at, process."""
        numbers = {c.digest: number for number, c in enumerate(self.candidates)}
        rows = [line.split() for line in (self.home / "log").read_text().splitlines()]
        return [(numbers[d], key, int(start), int(pid)) for d, key, start, pid in rows]
