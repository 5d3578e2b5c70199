"""`--init parent`: a study's networks begin with the weights of those that they grew from.

Weights pass within one fold and repeat. Each file says what trained it, and is refused where that
is another training than the one whose place it has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from expand3d.core.errors import StudyError, WeightsError
from expand3d.core.result import TrainingKey
from expand3d.core.trial import PARENT, SCRATCH, Candidate, Trial
from expand3d.data.store import ClipStore
from expand3d.execute.evaluate import Job
from expand3d.networks.weights.initial import Initial, hash_of
from expand3d.search.expansion.steps import StepSummary
from expand3d.search.strategy import answers
from expand3d.study.folder import StudyFolder
from expand3d.study.record import DATA, Record
from expand3d.study.weights import WeightStore

Inherited = tuple[tuple[TrainingKey, Initial], ...]


@dataclass(frozen=True)
class Parent:
    """The weights that a trial's first training began with.

    They count as having seen all of the study's clips, until `having_seen` says which. `unseen`
    are keys of those for which the parent's training was scored.
    """

    initial: Initial
    unseen: frozenset[str]

    def having_seen(self, hashes: Mapping[str, str]) -> Initial:
        """The weights, which saw clips of the study with these hashes, by key, less `unseen`."""
        seen = frozenset(sha for key, sha in hashes.items() if key not in self.unseen)
        return dataclasses.replace(self.initial, clips=seen)


def weights_of_trials(record: Record) -> WeightStore:
    """The weights of a study's trials, wherever a worker looks at them from."""
    return WeightStore(StudyFolder(record.folder.path.resolve()))


def inherited(
    record: Record, candidate: Candidate, store: ClipStore, jobs: Iterable[tuple[TrainingKey, Job]]
) -> Inherited:
    """The weights that a candidate's trainings begin with, by key; () where no parent gives them.

    `jobs` are the parent's trainings with the keys of those that begin with them. StudyError where
    weights are gone, WeightsError where they are of another training.
    """
    if candidate.start == SCRATCH or record.config().init != PARENT:
        return ()
    parent, classes = answers(record.trials())[candidate.start], tuple(store.class_names)
    found = []
    for key, job in jobs:
        file = _weights(record, parent, job.key, candidate)
        _refuse_leak(file, job, store)
        found.append((key, Initial(file, parent.candidate.plan, hash_of(file), classes)))
    return tuple(found)


def parent_of(record: Record, trial: Trial) -> Parent | None:
    """The parent whose weights a trial's first training began with; None where it had none.

    StudyError where the weights are gone.
    """
    candidate = trial.candidate
    if candidate.start == SCRATCH or record.config().init != PARENT:
        return None
    parent = answers(record.trials())[candidate.start]
    key = min(parent.furthest, key=str)
    file = _weights(record, parent, key, candidate)
    data = record.attribute(DATA)
    initial = Initial(
        file,
        parent.candidate.plan,
        hash_of(file),
        tuple(data["classes"]),
        frozenset(data["clips"].values()),
    )
    return Parent(initial, frozenset(score.key for score in parent.furthest[key].scores))


def _weights(record: Record, parent: Trial, key: TrainingKey, candidate: Candidate) -> Path:
    """The file of one training of a candidate's parent; StudyError where it is gone."""
    kept = weights_of_trials(record)
    if (file := kept.get(parent.number, key)) is None:
        raise StudyError(
            f"{kept.path(parent.number, key)} is gone, the weights of trial {parent.number} with "
            f"which networks of step {candidate.step} begin; a study with --init parent goes on "
            "where its folder is"
        )
    return file


def _refuse_leak(file: Path, job: Job, store: ClipStore) -> None:
    """WeightsError where the file's weights were not trained by exactly this job."""
    from expand3d.training.checkpoint import belongs_of
    from expand3d.training.tasks.classify import course

    wanted, there = course(store, job.train, job.seed), belongs_of(file)
    other = [name for name, value in wanted.items() if there.get(name) != value]
    if other:
        raise WeightsError(
            f"{file} holds weights of another {' and '.join(other)} than those of fold "
            f"{job.key.fold + 1}, repeat {job.key.repeat + 1}, whose held-out clips they may know"
        )


def keep_those_that_may_be_parents(record: Record, steps: Sequence[StepSummary]) -> None:
    """Delete the weights of networks that finished steps have not kept.

    Those of the last finished step stay: a larger budget may change what that step offers.
    """
    kept = weights_of_trials(record)
    stay = {candidate.digest for step in steps for candidate in step.kept}
    lost = {
        trial.number
        for step in steps[:-1]
        for trial in step.trials
        if trial is not None and trial.candidate.digest not in stay
    }
    if lost:
        kept.prune(set(kept.numbers()) - lost)


def refuse_apart(record: Record) -> None:
    """StudyError where workers without a driver share no folder in which to pass weights on."""
    config = record.config()
    if config.init == PARENT and config.storage is not None:
        raise StudyError(
            f"study {record.name!r} has init = {PARENT!r}, and its workers share a record but no "
            "folder for weights; use expand3d resume"
        )
