"""Equal networks that start from unequal weights are two trials, wherever they are looked up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from expand3d.core.errors import StudyError
from expand3d.core.trial import SCRATCH, Candidate, identity
from expand3d.execute import here
from expand3d.execute.base import Assignment
from expand3d.execute.child import refuse_other
from expand3d.execute.evaluate import Bench
from expand3d.report.study.view import load_view
from expand3d.run.driver import run_study
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record
from tests.helpers.race import NoRace

pytestmark = pytest.mark.usefixtures("light")

#: The hash of a file of weights.
FILE = "5e" * 32


@dataclass(frozen=True)
class Starts(NoRace):
    """One network from random weights, from a file's, and from those that the second came to.

    The fourth is another network, which the second led to.
    """

    def field(self) -> tuple[Candidate, ...]:
        scratch, wider, *_ = super().field()
        loaded = replace(scratch, start=FILE)
        after = replace(scratch, start=loaded.digest)
        return scratch, loaded, after, replace(wider, parent=loaded.digest)


def test_equal_plans_from_unequal_weights_are_two_trials(
    config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Assignment, Bench]] = []
    answer = here.answer

    def spy(assignment: Assignment, bench: Bench, **how: Any) -> str | None:
        given.append((assignment, bench))
        return answer(assignment, bench, **how)

    monkeypatch.setattr(here, "answer", spy)
    outcome = run_study(replace(config, strategy="tests.run.test_start:Starts"))
    assert outcome is not None and outcome.finished

    record = Record.open("tiny", root=config.root)
    trials = record.trials()
    scratch, loaded, after, child = (trial.candidate for trial in trials)
    assert scratch.plan == loaded.plan == after.plan != child.plan
    assert (scratch.start, loaded.start, after.start) == (SCRATCH, FILE, loaded.digest)
    # What stands in the record, and what the executor was given, has the weights in its name.
    assert len({trial.candidate.digest for trial in trials}) == 4
    assert scratch.digest == scratch.plan.digest
    assert loaded.digest == identity(scratch.plan, FILE)
    assert [record.find(trial.candidate.digest) for trial in trials] == list(trials)
    assert [assignment.number for assignment, _ in given] == [0, 1, 2, 3]
    assert [assignment.candidate for assignment, _ in given] == [t.candidate for t in trials]
    identities = [assignment.identity for assignment, _ in given]
    assert len({*identities}) == 4
    for (assignment, bench), trial in zip(given, trials, strict=True):
        assert trial.provenance["identity"] == assignment.identity
        assert trial.provenance["start"] == trial.candidate.start
        assert assignment.identity == bench.identity(trial.candidate.plan, trial.candidate.start)
        refuse_other(assignment, bench)
    # A worker that would start from other weights is refused.
    assignment, bench = given[1]
    with pytest.raises(StudyError, match="trained otherwise"):
        refuse_other(replace(assignment, candidate=scratch), bench)
    # The parent is the trial that started from the file, not the first one of the same network.
    parent = load_view("tiny", root=config.root).parent(child)
    assert parent is not None and parent.number == 1
